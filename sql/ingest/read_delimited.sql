-- One row per line of delimited text files: the columns wanted, as text, and the line's time in µs.
-- Lines that cannot be taken apart are left out; rejected_lines tells which. A row of too many bytes is null but for `_line`.
-- $files VARCHAR[]: paths
-- $names STRUCT: every column of the files, in their order, each with 'VARCHAR'
-- $wanted VARCHAR[]: the columns to read
-- $time VARCHAR: the column that holds the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
-- $timed BOOLEAN: whether the time in µs is asked for
-- $header BOOLEAN: whether the first line holds the names
-- $most BIGINT: how many bytes the values of a row may have
-- $delimiter VARCHAR: what stands between two columns
-- $encoding VARCHAR: utf-8 or latin-1
-- $quote VARCHAR: what stands around a field; empty: nothing does
-- $escape VARCHAR: what stands before a quote within a field
WITH read AS (
    SELECT
        COLUMNS(lambda name: list_contains($wanted, name)),
        CASE WHEN $timed THEN instant(COLUMNS(lambda name: name = $time), $unit) END AS _micros,
        list_sum(list_value(UNPACK(strlen(COLUMNS(lambda name: list_contains($wanted, name)))))) AS _line
    FROM read_csv(
        $files, hive_partitioning = false, columns = $names, auto_detect = false, header = $header, delim = $delimiter, quote = $quote, escape = $escape,
        encoding = $encoding, max_line_size = 4000000, store_rejects = true, rejects_table = 'rejects', rejects_scan = 'reject_scans'
    )
)
SELECT
    CASE WHEN _line IS NULL OR _line <= $most THEN COLUMNS(lambda name: list_contains($wanted, name)) END,
    _micros,
    CASE WHEN _line > $most THEN too_wide(_line, $most, concat_ws(', ', UNPACK(left(COLUMNS(lambda name: list_contains($wanted, name)), 60)))) END AS _line
FROM read
