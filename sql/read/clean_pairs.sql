-- One row per user and item that met in clean rows of the versions asked for, in no order.
-- $periods INTEGER[]: indexes of the periods
-- $versions INTEGER[]: the version of each
WITH asked AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
)
SELECT DISTINCT "user", item
FROM landed
SEMI JOIN asked USING (period, version)
ANTI JOIN quarantine USING (period, version, arrival)
