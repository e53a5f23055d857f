-- One row per reason for which rows of one version of a period are in quarantine: the rows that have it.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
SELECT reason, count(DISTINCT arrival) AS rows
FROM quarantine
WHERE period = $period AND version = $version
GROUP BY reason
ORDER BY reason
