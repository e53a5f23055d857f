-- One row per column of a Parquet file: its name and type.
-- $file VARCHAR: its path
SELECT column_name AS name, column_type AS type
FROM (DESCRIBE SELECT * FROM read_parquet($file, hive_partitioning = false))
