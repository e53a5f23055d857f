-- One row: the mean of a numeric column over the clean rows of one version of a period.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $column VARCHAR: name of the column in the lake
WITH clean AS (
    SELECT COLUMNS(name -> name = $column) AS value
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
)
SELECT sum(value::DECIMAL(38, 9))::DOUBLE / count(value) AS value
FROM clean
