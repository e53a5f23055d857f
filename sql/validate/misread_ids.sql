-- One row per user or item role of the clean rows of one version of a period that has ids which were read in another encoding than they were
-- written in: how many rows, and the least such id.
-- $signs VARCHAR: a regular expression for what a wrong encoding leaves, beside an escape, with which ISO 2022 changes alphabets
SELECT role AS field, sum(rows)::DOUBLE AS rows, min(id) AS value
FROM clean_ids
WHERE contains(id, chr(27)) OR (strlen(id) > length(id) OR contains(id, '???')) AND regexp_matches(id, $signs)
GROUP BY role
ORDER BY role
