-- One row: how many reasons are put down for rows of a version, counted by reading the files that hold them.
-- $period INTEGER: index of the period
-- $version INTEGER: the version
SELECT count(arrival) AS reasons
FROM quarantine
WHERE period = $period AND version = $version
