-- One row per text of a list that is a user or an item of the clean rows of one version of a period.
-- $role VARCHAR: user or item
-- $ids VARCHAR[]: the texts
WITH clean AS (
    SELECT CASE WHEN $role = 'user' THEN "user" ELSE item END AS id
    FROM clean_rows
)
SELECT DISTINCT id
FROM clean
SEMI JOIN (
    SELECT unnest($ids::VARCHAR[]) AS id
) AS wanted USING (id)
ORDER BY id
