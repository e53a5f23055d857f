-- One row per column of numbers of the landed rows: how many have a number, the least, the one in the middle, and the largest.
-- $columns VARCHAR[]: names of the columns in the lake
WITH numbers AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))::DOUBLE
    FROM landed
)
SELECT field, count(*) AS rows, min(value) AS least, median(value) AS middle, max(value) AS largest
FROM (UNPIVOT numbers ON COLUMNS(*) INTO NAME field VALUE value)
GROUP BY field
