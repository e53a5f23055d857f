-- One row: how many rows of Parquet files have a time that cannot be read.
-- $files VARCHAR[]: paths
-- $json VARCHAR[]: the columns of JSON, and `_json`
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
WITH timed AS (
    SELECT instant(COLUMNS(lambda name: name = $time), $unit) AS _micros
    FROM parquet_rows($files, $json)
)
SELECT count(*) AS rows
FROM timed
WHERE _micros IS NULL
