-- One row per user or item role of the landed rows: the rows after the first day, those of them whose id came on an earlier day, and
-- how many rows an id has in the middle, and at most; and the days on which the ids are 0, 1, 2, ... or 1, 2, 3, ... in the order in which they come first and some come again after the next one.
-- $few INTEGER: with fewer ids of a day nothing can be said
WITH landed_ids AS (
    SELECT "user", item, arrival, time::DATE AS day
    FROM landed
    WHERE time IS NOT NULL
),
days AS (
    SELECT role, day, id, count(*) AS rows, min(arrival) AS first
    FROM (UNPIVOT landed_ids ON "user", item INTO NAME role VALUE id)
    GROUP BY role, day, id
),
ids AS (
    SELECT role, id, sum(rows) AS rows
    FROM days
    GROUP BY role, id
),
placed AS (
    SELECT
        role, day, id, rows, min(day) OVER (PARTITION BY role, id) AS first_day, min(day) OVER (PARTITION BY role) AS start,
        try_cast(id AS BIGINT) - row_number() OVER of_day + 1 AS shift, lead(first) OVER of_day - first < rows AS again
    FROM days
    WINDOW of_day AS (PARTITION BY role, day ORDER BY first)
),
numbered AS (
    SELECT role, day
    FROM placed
    GROUP BY role, day
    HAVING count(*) >= $few AND count(shift) = count(*) AND min(shift) = max(shift) AND min(shift) IN (0, 1) AND bool_or(again)
)
SELECT
    role, (SELECT median(rows) FROM ids WHERE ids.role = placed.role)::DOUBLE AS middle, (SELECT max(rows) FROM ids WHERE ids.role = placed.role)::BIGINT AS most,
    coalesce(sum(rows) FILTER (day > start), 0)::BIGINT AS later, coalesce(sum(rows) FILTER (day > first_day), 0)::BIGINT AS known,
    (SELECT count(*) FROM numbered WHERE numbered.role = placed.role) AS numbered
FROM placed
GROUP BY role
ORDER BY role
