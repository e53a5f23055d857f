-- One row per line of JSON-lines files: the values wanted, as text in a list; null where a line is no object.
-- $files VARCHAR[]: paths
-- $pointers VARCHAR[]: JSON pointers (RFC 6901) to the values wanted
-- $time VARCHAR: JSON pointer to the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
-- $timed BOOLEAN: whether the time in µs is asked for
SELECT
    CASE WHEN json_type(json) = 'OBJECT' THEN json_extract_string(json, $pointers) END AS found,
    CASE WHEN $timed THEN instant(json_extract_string(json, $time), $unit) END AS _micros
FROM read_ndjson_objects($files, ignore_errors = true)
