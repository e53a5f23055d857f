-- One row: how many rows were copied. From now on `clean_rows` are the clean rows of one version of a period, a copy in memory.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
CREATE OR REPLACE TABLE memory.main.clean_rows AS
SELECT * EXCLUDE (period, version)
FROM landed
ANTI JOIN quarantine USING (period, version, arrival)
WHERE period = $period AND version = $version
