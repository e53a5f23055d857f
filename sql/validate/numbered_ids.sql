-- One row per user or item role of the clean rows of one version of a period that has whole numbers among its ids: how many ids, how many
-- whole numbers, the rows of 0, the least of the others, whether the largest is the last of a type of integers, the largest, and its rows; whether the ids
-- are 0, 1, 2, ... or 1, 2, 3, ... in the order in which they come first, whether some come again after the next one, and whether the ids
-- are just these numbers.
WITH placed AS (
    SELECT
        role, rows, first, CASE WHEN regexp_full_match(id, '0|[1-9][0-9]{0,19}') THEN id::HUGEINT END AS number,
        count(*) OVER all_ids AS ids, row_number() OVER (all_ids ORDER BY first) - 1 AS place,
        lead(first) OVER (all_ids ORDER BY first) - first < rows AS again
    FROM clean_ids
    WINDOW all_ids AS (PARTITION BY role)
)
SELECT
    role, max(ids) AS ids, count(number) AS numbers, coalesce(sum(rows) FILTER (number = 0), 0)::DOUBLE AS zeros,
    coalesce(min(number) FILTER (number > 0), 0)::DOUBLE AS least,
    coalesce(max(number) IN (2147483647, 4294967295, 9223372036854775807, 18446744073709551615), false) AS last, max(number)::DOUBLE AS most, max(number)::VARCHAR AS largest,
    arg_max(rows, number)::DOUBLE AS largest_rows,
    count(*) FILTER (number = place) = max(ids) OR count(*) FILTER (number = place + 1) = max(ids) AS in_order,
    coalesce(bool_or(again), false) AS again, count(number) = max(ids) AND max(number) - min(number) = max(ids) - 1 AND min(number) <= 1 AS dense
FROM placed
GROUP BY role
HAVING count(number) > 0
ORDER BY role
