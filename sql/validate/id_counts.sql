-- One row per user or item of the clean rows of one version of a period: which of the two, the id, and the rows that have it.
-- $roles VARCHAR[]: user, item
SELECT role, id, rows
FROM clean_ids
WHERE list_contains($roles, role)
