-- One row: nothing. From now on `clean_rows` are the clean rows of one version of a period, read from the lake each time. Quoted words
-- are filled in: a view takes no parameters.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
CREATE OR REPLACE VIEW memory.main.clean_rows AS
SELECT * EXCLUDE (period, version)
FROM lake.landed
ANTI JOIN lake.quarantine USING (period, version, arrival)
WHERE period = '$period'::INTEGER AND version = '$version'::INTEGER
