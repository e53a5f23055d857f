-- One row per line of JSON-lines files that is not blank: the values wanted, as text in a list, or the line where it is no object,
-- has too many bytes, a key that is wanted twice or in another case alone, an id whose digits a double would not hold, or an id or
-- a time that was shortened.
-- $files VARCHAR[]: paths
-- $pointers VARCHAR[]: JSON pointers (RFC 6901) to the values wanted
-- $time VARCHAR: JSON pointer to the time
-- $unit VARCHAR: its unit: auto, s, ms, us, ns or text
-- $single VARCHAR[]: pointers to values that may be no list and no object
-- $names VARCHAR[]: the keys wanted, but for those that the files have beside one of another case
-- $ids VARCHAR[]: pointers to ids
-- $shortened VARCHAR[]: regular expressions for ids and times that were shortened, with their keys
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
typed AS (
    SELECT
        line, json, json_keys(json) AS keys, list_count(json_type(json, $pointers)) AS found,
        json_type(json) = 'OBJECT' AND NOT list_has_any(json_type(json, $single), ['ARRAY', 'OBJECT']) AS whole,
        list_contains(json_type(json, $ids), 'DOUBLE') AS point,
        CASE WHEN strlen(line) > $most THEN list_sum(list_transform(json_extract_string(json, $pointers), lambda value: strlen(value))) END AS bytes
    FROM lines
),
judged AS (
    SELECT line, json, bytes, CASE
        WHEN whole IS NOT TRUE THEN ''
        WHEN bytes > $most THEN 'too wide'
        WHEN (found < len($pointers) OR list_unique(keys) < len(keys))
            AND len(list_intersect(list_transform(keys, lambda key: lower(key)), list_transform($names::VARCHAR[], lambda name: lower(name))))
                <> len(list_filter(keys, lambda key: list_contains($names::VARCHAR[], key)))
            THEN 'a key stands here twice, or in upper or lower case unlike elsewhere: '
        WHEN point AND len(list_filter(list_zip(json_type(json, $ids), json_extract_string(json, $ids)), lambda id: id[1] = 'DOUBLE'
                AND regexp_matches(id[2], '[.eE]') AND abs(TRY_CAST(id[2] AS DOUBLE)) >= 9007199254740992
                OR regexp_matches(id[2], '^-?[0-9]+[.][0-9]*[1-9]$') AND NOT regexp_matches(line, regexp_escape(id[2]) || '0*[^0-9.eE]'))) > 0
            THEN 'an id has more digits than are kept of a number of JSON, write it as text: '
        WHEN (contains(line, 'e+') OR contains(line, 'E+')) AND len(list_filter($shortened::VARCHAR[], lambda short: regexp_matches(line, short))) > 0
            THEN 'an id or a time is a number without all its digits, write it with them: '
    END AS why
    FROM typed
)
SELECT
    CASE WHEN why IS NULL THEN json_extract_string(json, $pointers) END AS found,
    CASE WHEN $timed AND why IS NULL THEN instant(json_extract_string(json, $time), $unit) END AS _micros,
    CASE WHEN why = 'too wide' THEN too_wide(bytes, $most, left(line, 240)) ELSE left(why || line, 2000) END AS _line
FROM judged
