-- One row: how many rows of Parquet files have a time that can be read, the first and the last in µs.
-- $files VARCHAR[]: paths
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns, days or text, or a format
SELECT count(_micros) AS rows, min(_micros) AS first, max(_micros) AS last
FROM (
    SELECT instant(COLUMNS(lambda name: name = $time), $unit) AS _micros
    FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
)
