-- One row per row of Parquet files from one time up to another: the columns wanted, and the row's time in µs.
-- $files VARCHAR[]: paths
-- $wanted VARCHAR[]: the columns to read
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
-- $start BIGINT: µs since 1970 UTC; null: all rows, with or without a time
-- $end BIGINT: the first µs that is too late
WITH timed AS (
    SELECT
        COLUMNS(lambda name: list_contains($wanted, name)),
        instant(COLUMNS(lambda name: name = $time), $unit) AS _micros
    FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
)
SELECT *
FROM timed
WHERE $start::BIGINT IS NULL OR _micros >= $start::BIGINT AND _micros < $end::BIGINT
