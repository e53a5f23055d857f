-- One row per version, of those asked for, that has clean rows: how many.
-- $periods INTEGER[]: indexes of the periods
-- $versions INTEGER[]: the version of each
WITH asked AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
)
SELECT period, count(*) AS rows, version
FROM landed
SEMI JOIN asked USING (period, version)
ANTI JOIN quarantine USING (period, version, arrival)
GROUP BY period, version
