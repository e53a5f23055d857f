-- One row: how many turns are taken. A transaction that merges files may change no row, so it takes none.
SELECT 0 AS turns
