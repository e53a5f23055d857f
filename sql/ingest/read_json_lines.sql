-- One row per line of JSON-lines files that is not blank: the values wanted, as text in a list, or the line
-- where it is no object or has too many bytes.
-- $files VARCHAR[]: paths
-- $pointers VARCHAR[]: JSON pointers (RFC 6901) to the values wanted
-- $time VARCHAR: JSON pointer to the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
-- $single VARCHAR[]: pointers to values that may be no list and no object
-- $timed BOOLEAN: whether the time in µs is asked for
-- $most BIGINT: how many bytes the values of a row may have
WITH lines AS (
    SELECT line, TRY_CAST(line AS JSON) AS json
    FROM read_csv(
        $files, hive_partitioning = false, columns = struct_pack(line := 'VARCHAR'), auto_detect = false, header = false, delim = '\x01', quote = '', escape = '',
        strict_mode = false, max_line_size = 4000000, store_rejects = true, rejects_table = 'rejects', rejects_scan = 'reject_scans'
    )
    WHERE trim(line) <> ''
),
measured AS (
    SELECT
        line, json,
        CASE WHEN strlen(line) > $most THEN list_sum(list_transform(json_extract_string(json, $pointers), lambda value: strlen(value))) END AS bytes
    FROM lines
),
judged AS (
    SELECT
        line, json, bytes,
        json_type(json) = 'OBJECT' AND NOT list_has_any(json_type(json, $single), ['ARRAY', 'OBJECT'])
        AND (bytes IS NULL OR bytes <= $most) AS whole
    FROM measured
)
SELECT
    CASE WHEN whole THEN json_extract_string(json, $pointers) END AS found,
    CASE WHEN $timed AND whole THEN instant(json_extract_string(json, $time), $unit) END AS _micros,
    CASE
        WHEN whole THEN NULL
        WHEN bytes > $most THEN too_wide(bytes, $most, left(line, 240))
        ELSE left(line, 2000)
    END AS _line
FROM judged
