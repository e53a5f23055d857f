-- One row: nothing; removes the view of clean rows.
DROP VIEW memory.main.clean_rows
