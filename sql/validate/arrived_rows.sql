-- One row per row of one version of a period that could be typed, in no order: what row rules are put to.
-- Reasons with a slash are those of row rules; a row that only they put aside is judged again.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
WITH unreadable AS (
    SELECT DISTINCT arrival
    FROM quarantine
    WHERE period = $period AND version = $version AND NOT contains(reason, '/')
)
SELECT landed.*
FROM landed
ANTI JOIN unreadable ON landed.arrival = unreadable.arrival
WHERE period = $period AND version = $version
