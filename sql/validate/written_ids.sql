-- One row per user or item of the clean rows of one version of a period that may be another writing of a plain id: which of the two, and
-- the id; 2,000 of each role at most, the same every time.
-- $marked VARCHAR: a regular expression for such ids
SELECT role, id
FROM clean_ids
WHERE regexp_matches(id, $marked)
QUALIFY row_number() OVER (PARTITION BY role ORDER BY id) <= 2000
ORDER BY role, id
