-- One row: nothing; where DuckDB puts what does not fit in memory.
-- $value VARCHAR: a directory
SET temp_directory = $value
