-- One row per user or item role of the clean rows of one version of a period whose ids have one row each: how many ids there are, whether
-- they are whole numbers of which none between the least and the largest is missing, and both.
-- $few BIGINT: with fewer ids nothing can be said
WITH single AS (
    SELECT role
    FROM clean_ids
    GROUP BY role
    HAVING max(rows) = 1 AND count(*) >= $few
),
numbers AS (
    SELECT role, CASE WHEN regexp_full_match(id, '0|[1-9][0-9]{0,17}') THEN id::BIGINT END AS number
    FROM clean_ids
    SEMI JOIN single USING (role)
)
SELECT
    role, count(*)::DOUBLE AS ids, count(number) = count(*) AND max(number) - min(number) = count(*) - 1 AS dense, min(number)::VARCHAR AS least,
    max(number)::VARCHAR AS largest
FROM numbers
GROUP BY role
ORDER BY role
