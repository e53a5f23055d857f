-- One row: how many rows of one version of a period arrived, were put aside, are clean, and came out of order.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
WITH aside AS (
    SELECT DISTINCT arrival
    FROM quarantine
    WHERE period = $period AND version = $version
),
arrived AS (
    SELECT arrival, time, lag(time) OVER (ORDER BY arrival) AS before
    FROM landed
    WHERE period = $period AND version = $version
)
SELECT
    count(*) AS rows,
    count(aside.arrival) AS quarantined,
    count(*) - count(aside.arrival) AS clean,
    count(*) FILTER (arrived.time < arrived.before) AS out_of_order
FROM arrived
LEFT JOIN aside ON arrived.arrival = aside.arrival
