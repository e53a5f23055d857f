-- One row per clean row of the newest version of every period: the view for people.
CREATE OR REPLACE VIEW lake.newest_logs AS
WITH newest AS (
    SELECT period, max(version) AS version
    FROM collected
    GROUP BY period
)
SELECT *
FROM landed
ANTI JOIN quarantine USING (period, version, arrival)
SEMI JOIN newest USING (period, version)
