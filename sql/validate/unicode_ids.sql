-- One row per user or item with letters beyond ASCII, or codes of addresses or HTML, among the clean rows of one version of a period:
-- which of the two, and the id.
-- $coded VARCHAR: regular expression for codes
SELECT role, id
FROM clean_ids
WHERE strlen(id) > length(id) OR (contains(id, '%') OR contains(id, '&')) AND regexp_matches(id, $coded)
ORDER BY role, id
