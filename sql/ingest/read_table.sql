-- One row per row of a database's table from one time up to another: the columns wanted, and the row's time in µs.
-- The database is asked for the span alone if its times are dates, or numbers of a known unit. A row of too many bytes is null
-- but for `_micros` and `_line`. A row whose time cannot be read is one of every span: it may belong to any of them.
-- $rows VARCHAR: the statement that reads the table
-- $wanted VARCHAR[]: the columns to read
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns, days or text, or a format
-- $dated VARCHAR: the same column if it holds dates or timestamps; else _no_date
-- $low TIMESTAMP: the span's start; null: all rows, with or without a time
-- $high TIMESTAMP: its end
-- $counted VARCHAR: the same column if it holds numbers of a known unit; else _no_number
-- $first BIGINT: the span's start in that unit
-- $last BIGINT: its end
-- $start BIGINT: the span's start, in µs since 1970 UTC; null: all rows
-- $end BIGINT: the first µs that is too late
-- $most BIGINT: how many bytes the texts and lists of a row may have
WITH timed AS (
    SELECT
        COLUMNS(lambda name: list_contains($wanted, name)),
        instant(COLUMNS(lambda name: name = $time), $unit) AS _micros,
        COLUMNS(lambda name: name = $time) IS NOT NULL AS _timed,
        list_sum(list_value(UNPACK(wide_bytes(COLUMNS(lambda name: list_contains($wanted, name)))))) AS _line
    FROM (SELECT *, NULL::TIMESTAMP AS _no_date, NULL::BIGINT AS _no_number FROM query($rows))
    WHERE ($dated = '_no_date' OR COLUMNS(lambda name: name = $dated) BETWEEN $low::TIMESTAMP AND $high::TIMESTAMP)
        AND ($counted = '_no_number' OR COLUMNS(lambda name: name = $counted) BETWEEN $first::BIGINT AND $last::BIGINT)
)
SELECT
    CASE WHEN _line IS NULL OR _line <= $most THEN COLUMNS(lambda name: list_contains($wanted, name)) END,
    _micros,
    CASE WHEN _line > $most THEN too_wide(_line, $most, concat_ws(', ', UNPACK(left(COLUMNS(lambda name: list_contains($wanted, name))::VARCHAR, 60)))) END AS _line
FROM timed
WHERE $start::BIGINT IS NULL OR _micros >= $start::BIGINT AND _micros < $end::BIGINT OR _timed AND _micros IS NULL
