-- One row per version asked for that is in the lake: the digest of all rows that landed as it.
-- $periods INTEGER[]: indexes of the periods
-- $versions INTEGER[]: the version of each
WITH asked AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
)
SELECT period, version, digest
FROM collected
SEMI JOIN asked USING (period, version)
