-- One row per row of a version, as text and in the order it came; `_raw` is the row as it came where it could not be typed,
-- `_instant` its time where that could be read.
-- $period INTEGER: index of the period
-- $version INTEGER: the version
-- $columns VARCHAR[]: names of the columns that say what a row is
WITH unreadable AS (
    SELECT arrival, any_value(raw) AS _raw
    FROM quarantine
    WHERE period = $period AND version = $version AND raw IS NOT NULL
    GROUP BY arrival
)
SELECT COLUMNS(lambda name: list_contains($columns, name))::VARCHAR, landed.time AS _instant, unreadable._raw
FROM landed
LEFT JOIN unreadable ON landed.arrival = unreadable.arrival
WHERE period = $period AND version = $version
ORDER BY landed.arrival
