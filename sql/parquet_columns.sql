-- One row per column of a Parquet file: its name.
-- $file VARCHAR: its path
SELECT column_name AS name
FROM (DESCRIBE SELECT * FROM read_parquet($file, hive_partitioning = false))
