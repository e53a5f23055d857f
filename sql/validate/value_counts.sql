-- One row per text column and value among the clean rows of one version of a period: the rows that have it.
-- $columns VARCHAR[]: names of the columns in the lake
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM clean_rows
)
SELECT field, value, count(*) AS rows
FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
GROUP BY field, value
ORDER BY field
