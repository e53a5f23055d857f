-- One row per text of a list that is a user or an item of the clean rows of one version of a period.
-- $role VARCHAR: user or item
-- $ids VARCHAR[]: the texts
SELECT id
FROM clean_ids
SEMI JOIN (
    SELECT unnest($ids::VARCHAR[]) AS id
) AS wanted USING (id)
WHERE role = $role
ORDER BY id
