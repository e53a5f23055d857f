-- One row per text of a list that is a user or an item of the clean rows of one version of a period.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $role VARCHAR: user or item
-- $ids VARCHAR[]: the texts
WITH clean AS (
    SELECT CASE WHEN $role = 'user' THEN "user" ELSE item END AS id
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
)
SELECT DISTINCT id
FROM clean
SEMI JOIN (
    SELECT unnest($ids::VARCHAR[]) AS id
) AS wanted USING (id)
ORDER BY id
