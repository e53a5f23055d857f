-- One row per text column and value among the clean rows of one version of a period: the rows that have it.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $columns VARCHAR[]: names of the columns in the lake
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
)
SELECT field, value, count(*) AS rows
FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
GROUP BY field, value
ORDER BY field
