-- One row: nothing; removes the copy of some rows.
DROP TABLE IF EXISTS memory.main.some_rows
