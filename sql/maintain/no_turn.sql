-- One row, of nothing: a transaction that merges files may change no row, so it takes no turn.
SELECT 1 AS nothing
