-- One row per file of a sample and column of numbers or texts: how many rows the file has, how many of them have a value, and the number in
-- the middle, NULL of texts; and one for the label, whose mean stands for the middle.
-- $starts BIGINT[]: the arrival of the first row of each file
-- $ends BIGINT[]: the arrival after the last row of each file
-- $columns VARCHAR[]: names of the columns in the lake
WITH read AS (
    SELECT
        list_position(list_transform(range(len($starts)), lambda n: arrival >= $starts[n + 1] AND arrival < $ends[n + 1]), true) AS _row,
        coalesce(COLUMNS(lambda name: list_contains($columns, name))::VARCHAR, '')
    FROM landed
)
SELECT
    _row - 1 AS file, field, count(*)::DOUBLE AS rows, count(*) FILTER (value != '')::DOUBLE AS present, median(TRY_CAST(value AS DOUBLE)) AS middle,
    avg(TRY_CAST(value AS DOUBLE)) AS mean
FROM (UNPIVOT read ON COLUMNS(* EXCLUDE (_row)) INTO NAME field VALUE value)
WHERE _row IS NOT NULL
GROUP BY _row, field
ORDER BY field, file
