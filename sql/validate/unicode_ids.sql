-- One row per user or item with letters beyond ASCII, or codes of addresses or HTML, among the clean rows of one version of a period:
-- which of the two, and the id.
-- $coded VARCHAR: regular expression for codes
WITH clean AS (
    SELECT "user", item
    FROM clean_rows
    WHERE (strlen("user") + strlen(item) > length("user") + length(item)
        OR contains("user", '%') OR contains(item, '%') OR contains("user", '&') OR contains(item, '&'))
)
SELECT DISTINCT role, id
FROM (UNPIVOT clean ON "user", item INTO NAME role VALUE id)
WHERE strlen(id) > length(id) OR (contains(id, '%') OR contains(id, '&')) AND regexp_matches(id, $coded)
ORDER BY role, id
