-- One row per version that nobody needs: neither asked to be kept nor the newest of its period.
-- $periods INTEGER[]: indexes of the periods of versions to keep
-- $versions INTEGER[]: the version of each
WITH kept AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
    UNION
    SELECT period, max(version) FROM collected GROUP BY period
)
SELECT period, version
FROM collected
ANTI JOIN kept USING (period, version)
ORDER BY period, version
