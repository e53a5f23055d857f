-- One row per row of Parquet files from one time up to another: the columns wanted, and the row's time in µs.
-- A row of too many bytes is null but for `_micros` and `_line`. Only texts, lists and the like are measured.
-- $files VARCHAR[]: paths
-- $json VARCHAR[]: the columns of JSON, and `_json`
-- $wanted VARCHAR[]: the columns to read
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
-- $start BIGINT: µs since 1970 UTC; null: all rows, with or without a time
-- $end BIGINT: the first µs that is too late
-- $most BIGINT: how many bytes the texts and lists of a row may have
WITH timed AS (
    SELECT
        COLUMNS(lambda name: list_contains($wanted, name)),
        instant(COLUMNS(lambda name: name = $time), $unit) AS _micros,
        list_sum(list_value(UNPACK(wide_bytes(COLUMNS(lambda name: list_contains($wanted, name)))))) AS _line
    FROM parquet_rows($files, $json)
)
SELECT
    CASE WHEN _line IS NULL OR _line <= $most THEN COLUMNS(lambda name: list_contains($wanted, name)) END,
    _micros,
    CASE WHEN _line > $most THEN too_wide(_line, $most, concat_ws(', ', UNPACK(left(COLUMNS(lambda name: list_contains($wanted, name))::VARCHAR, 60)))) END AS _line
FROM timed
WHERE $start::BIGINT IS NULL OR _micros >= $start::BIGINT AND _micros < $end::BIGINT
