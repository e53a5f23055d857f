-- One row per user or item of 16 to 20 digits among the clean rows of one version of a period, 10,000 at most: which of the two, and the id.
WITH clean AS (
    SELECT "user", item
    FROM clean_rows
    WHERE (strlen("user") BETWEEN 16 AND 21 OR strlen(item) BETWEEN 16 AND 21)
)
SELECT DISTINCT role, id
FROM (UNPIVOT clean ON "user", item INTO NAME role VALUE id)
WHERE regexp_full_match(id, '-?[0-9]{16,20}')
ORDER BY role, id
LIMIT 10000
