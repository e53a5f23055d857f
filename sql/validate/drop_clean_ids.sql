-- One row: nothing; removes the table of clean ids.
DROP TABLE IF EXISTS memory.main.clean_ids
