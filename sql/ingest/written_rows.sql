-- One row: how many rows of a version are in the lake, counted by reading the files that hold them.
-- $period INTEGER: index of the period
-- $version INTEGER: the version
SELECT count(*) FILTER (arrival >= 0) AS rows
FROM landed
WHERE period = $period AND version = $version
