-- One row: how many rows of Parquet files have a time that cannot be read.
-- $files VARCHAR[]: paths
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
WITH timed AS (
    SELECT instant(COLUMNS(lambda name: name = $time), $unit) AS _micros
    FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
)
SELECT count(*) AS rows
FROM timed
WHERE _micros IS NULL
