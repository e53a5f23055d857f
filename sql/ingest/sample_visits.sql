-- One row per user or item role of the landed rows: how many rows have another one of their id before them on the same day, of ids with three
-- rows a day or more; and how long after it they come in the middle, as a share of the even distance of so many rows. Rows at any time have
-- 0.7, and those of visits far less.
-- $most BIGINT: about how many rows are looked at, of some ids
WITH part AS (
    SELECT greatest(count(*) // $most, 1)::UBIGINT AS parts
    FROM landed
),
ids AS (
    SELECT role, hash(id) AS id, micros // 86400000000 AS day, micros
    FROM (
        UNPIVOT (SELECT epoch_us(time) AS micros, "user", item FROM landed WHERE time IS NOT NULL)
        ON "user", item INTO NAME role VALUE id
    )
    WHERE hash(id) % (SELECT parts FROM part) = 0
),
followed AS (
    SELECT role, micros - lag(micros) OVER (PARTITION BY role, id, day ORDER BY micros) AS span, count(*) OVER (PARTITION BY role, id, day) AS rows
    FROM ids
)
SELECT role, count(span) AS rows, coalesce(median(span * rows / 86400000000), 1)::DOUBLE AS spread
FROM followed
WHERE rows >= 3
GROUP BY role
ORDER BY role
