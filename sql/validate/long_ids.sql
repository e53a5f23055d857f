-- One row per user or item of 16 to 20 digits, or of 15 to 20 with a fraction, among the clean rows of one version of a period, 10,000
-- of each role at most: which of the two, and the id.
SELECT role, id
FROM clean_ids
WHERE strlen(id) BETWEEN 16 AND 21
    AND (regexp_full_match(id, '-?[0-9]{16,20}') OR regexp_full_match(id, '[1-9][0-9]+[.][0-9]+'))
QUALIFY row_number() OVER (PARTITION BY role ORDER BY id) <= 10000
ORDER BY role, id
