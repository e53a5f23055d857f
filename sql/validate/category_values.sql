-- One row per text column and value among `some_rows`: the rows that have it, and the
-- rows that were looked at.
-- $columns VARCHAR[]: names of the columns in the lake
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM some_rows
)
SELECT field, value, count(*) AS rows, (SELECT count(*) FROM clean) AS all_rows
FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
GROUP BY field, value
HAVING 500 * count(*) >= (SELECT count(*) FROM clean)
ORDER BY field, rows DESC, value
