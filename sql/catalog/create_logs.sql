-- One row per clean row of every version of every period: the view that is asked for logs.
CREATE OR REPLACE VIEW lake.logs AS
SELECT *
FROM landed
ANTI JOIN quarantine USING (period, version, arrival)
