-- One row per arrival asked for: the value of one column, as text.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $column VARCHAR: name of the column in the lake
-- $arrivals BIGINT[]: positions of the rows in their delivery
WITH asked AS (
    SELECT arrival, COLUMNS(lambda name: name = $column) AS value
    FROM landed
    WHERE period = $period AND version = $version AND list_contains($arrivals, arrival)
)
SELECT arrival, left(value::VARCHAR, 60) AS value
FROM asked
ORDER BY arrival
