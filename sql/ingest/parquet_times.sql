-- One row: how many rows of Parquet files have a time that can be read, the first and the last in µs.
-- $files VARCHAR[]: paths
-- $json VARCHAR[]: the columns of JSON, and `_json`
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns, days or text, or a format
SELECT count(_micros) AS rows, min(_micros) AS first, max(_micros) AS last
FROM (
    SELECT instant(COLUMNS(lambda name: name = $time), $unit) AS _micros
    FROM parquet_rows($files, $json)
)
