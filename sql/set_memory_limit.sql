-- One row: nothing; how much memory DuckDB may use before it goes to disk.
-- $value VARCHAR: such as 1500MB
SET memory_limit = $value
