-- One row: the newest version of a period, what landed with it and under which rules; none where nothing landed.
-- $period INTEGER: index of the period
SELECT version, digest, rules, rows
FROM collected
WHERE period = $period
ORDER BY version DESC
LIMIT 1
