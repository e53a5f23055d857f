-- One row per text column and value among the clean rows of one version of a period, every n-th by its arrival: the rows that have it, and the
-- rows that were looked at.
-- $columns VARCHAR[]: names of the columns in the lake
-- $most BIGINT: about how many rows are looked at, so that memory stays flat
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM clean_rows
    WHERE arrival % (SELECT greatest(count(*) // $most, 1) FROM clean_rows) = 0
)
SELECT field, value, count(*) AS rows, (SELECT count(*) FROM clean) AS all_rows
FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
GROUP BY field, value
HAVING 500 * count(*) >= (SELECT count(*) FROM clean)
ORDER BY field, rows DESC, value
