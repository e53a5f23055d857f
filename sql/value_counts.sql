-- One row per value of a text column among the clean rows of one version of a period: the rows that have it.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $column VARCHAR: name of the column in the lake
WITH clean AS (
    SELECT COLUMNS(name -> name = $column) AS value
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
)
SELECT value, count(*) AS rows
FROM clean
GROUP BY value
