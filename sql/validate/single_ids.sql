-- One row per user or item role of the clean rows of one version of a period: how many ids there are, how many rows the most frequent one
-- has, whether the ids are whole numbers of which none between the least and the largest is missing, and both.
SELECT
    role, count(*)::DOUBLE AS ids, max(rows)::DOUBLE AS most, count(number) = count(*) AND max(number) - min(number) = count(*) - 1 AS dense,
    min(number)::VARCHAR AS least, max(number)::VARCHAR AS largest
FROM (SELECT role, rows, CASE WHEN regexp_full_match(id, '0|[1-9][0-9]{0,17}') THEN id::BIGINT END AS number FROM clean_ids)
GROUP BY role
ORDER BY role
