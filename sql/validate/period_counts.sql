-- One row: how many rows of one version of a period arrived, were put aside, are clean and came out of order; and the
-- mean label of the clean ones, summed exactly so that it does not depend on the order in which threads meet them.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
WITH aside AS (
    SELECT DISTINCT arrival
    FROM quarantine
    WHERE period = $period AND version = $version
),
counted AS (
    SELECT
        count(*) AS rows,
        count(aside.arrival) AS quarantined,
        sum(TRY_CAST(label AS DECIMAL(38, 9))) FILTER (aside.arrival IS NULL)::DOUBLE
            / count(TRY_CAST(label AS DECIMAL(38, 9))) FILTER (aside.arrival IS NULL) AS label_rate
    FROM landed
    LEFT JOIN aside ON landed.arrival = aside.arrival
    WHERE period = $period AND version = $version
),
followed AS (
    SELECT time, lag(time) OVER (ORDER BY arrival) AS before
    FROM landed
    WHERE period = $period AND version = $version
)
SELECT
    rows, quarantined, rows - quarantined AS clean, label_rate,
    (SELECT count(*) FROM followed WHERE time < before) AS out_of_order
FROM counted
