-- One row: how many rows of a delivery were typed and written to a file, each with the reasons why it cannot be used.
-- $part VARCHAR: the Parquet file to write
-- $unit VARCHAR: unit of times that are numbers: auto, s, ms, us, ns; or text
-- $numbers VARCHAR[]: names of the columns that hold numbers
-- $words VARCHAR[]: those of them that came as text
-- $labelled BOOLEAN: whether every row needs a label
-- $private VARCHAR: JSON that takes the lake's own columns out of a row
COPY (
    WITH read AS (
        SELECT
            COLUMNS(lambda name: NOT list_contains($numbers, name)),
            TRY_CAST(COLUMNS(lambda name: list_contains($numbers, name)) AS DOUBLE),
            coalesce(epoch_us(_instant), instant(time, $unit)) AS _micros,
            list_value(*COLUMNS(lambda name: list_contains($words, name))) AS _words,
            incoming AS _row
        FROM incoming
    ),
    typed AS (
        SELECT *, list_value(*COLUMNS(lambda name: list_contains($numbers, name))) AS _values
        FROM read
    ),
    judged AS (
        SELECT *, list_filter([
            CASE WHEN _line IS NOT NULL THEN 'unreadable_row' END,
            CASE WHEN _line IS NULL AND "user" IS NULL THEN 'null_user' END,
            CASE WHEN _line IS NULL AND item IS NULL THEN 'null_item' END,
            CASE WHEN _line IS NULL AND time IS NULL THEN 'null_time' END,
            CASE WHEN time IS NOT NULL AND _micros IS NULL THEN 'unreadable_time' END,
            CASE WHEN _line IS NULL AND $labelled AND _row.label IS NULL THEN 'null_label' END,
            CASE WHEN len(list_filter(_words, lambda word: word IS NOT NULL AND TRY_CAST(word AS DOUBLE) IS NULL)) > 0
                OR len(list_filter(_values, lambda number: NOT isfinite(number))) > 0 THEN 'unreadable_number' END
        ], lambda reason: reason IS NOT NULL) AS _found
        FROM typed
    )
    SELECT
        arrival, _micros AS time, "user", item,
        * EXCLUDE (arrival, time, "user", item, _micros, _words, _values, _row, _found, _none, _instant),
        CASE WHEN len(_found) = 0 THEN CASE WHEN _key IS NULL THEN hash("user", item, _micros) ELSE hash(_key) END END AS _mark,
        CASE WHEN len(_found) > 0 THEN _found END AS _reasons,
        CASE WHEN len(_found) > 0 THEN json_merge_patch(to_json(_row), $private)::VARCHAR END AS _raw
    FROM judged
) TO $part (FORMAT parquet)
