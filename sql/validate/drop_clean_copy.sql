-- One row: nothing; removes the copy of clean rows.
DROP TABLE memory.main.clean_rows
