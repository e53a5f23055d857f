-- One row per version asked for that is in the lake.
-- $periods INTEGER[]: indexes of the periods
-- $versions INTEGER[]: the version of each
WITH asked AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
)
SELECT period, version
FROM collected
SEMI JOIN asked USING (period, version)
