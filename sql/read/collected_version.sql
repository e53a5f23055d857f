-- One row: what landed as one version of a period; none where it is not in the lake.
-- $period INTEGER: index of the period
-- $version INTEGER: the version
SELECT digest, rows, columns
FROM collected
WHERE period = $period AND version = $version
