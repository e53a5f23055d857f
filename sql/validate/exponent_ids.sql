-- One row per user or item role whose clean rows of one version of a period have ids with an exponent, such as 2e3: which of the two, the
-- least such id, how many rows have one, and the share of all rows whose id is a whole number.
WITH found AS (
    SELECT role, min(id) AS id, sum(rows)::BIGINT AS rows
    FROM clean_ids
    WHERE contains(id, 'e') AND regexp_full_match(id, '-?[1-9][0-9]*e[1-9][0-9]?')
    GROUP BY role
)
SELECT
    role, found.id, found.rows,
    coalesce(sum(clean_ids.rows) FILTER (regexp_full_match(clean_ids.id, '-?[0-9]+')), 0)::DOUBLE / sum(clean_ids.rows)::DOUBLE AS whole
FROM clean_ids
JOIN found USING (role)
GROUP BY role, found.id, found.rows
ORDER BY role
