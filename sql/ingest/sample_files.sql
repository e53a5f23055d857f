-- One row per pair of files of a sample, the earlier and the later one by name: how many rows each has, and how many pairs of user and item
-- the smaller one has; how many rows of the smaller one the other has too but for their times; the most frequent span between the first
-- times of such rows in seconds, and how many have it; how alike the rows of ids are in both: of users and of items, as correlation, the better of the two, and
-- of users of one and items of the other.
-- $starts BIGINT[]: the arrival of the first row of each file
-- $ends BIGINT[]: the arrival after the last row of each file
WITH read AS (
    SELECT list_position(list_transform(range(len($starts)), lambda n: arrival >= $starts[n + 1] AND arrival < $ends[n + 1]), true) AS file, "user", item, time, label
    FROM landed
    WHERE "user" IS NOT NULL AND item IS NOT NULL
),
sizes AS (
    SELECT file, count(*) AS rows
    FROM read
    WHERE file IS NOT NULL
    GROUP BY file
),
files AS (
    SELECT first.file AS first, later.file AS later, first.rows AS first_rows, later.rows AS later_rows
    FROM sizes AS first
    JOIN sizes AS later ON first.file < later.file
),
pairs AS (
    SELECT file, "user", item, count(*) AS rows, min(time) AS time
    FROM read
    WHERE file IS NOT NULL
    GROUP BY file, "user", item
),
pair_counts AS (
    SELECT file, count(*) AS pairs
    FROM pairs
    GROUP BY file
),
same_pairs AS (
    SELECT first.file AS first, later.file AS later, least(first.rows, later.rows) AS rows, epoch_us(later.time) - epoch_us(first.time) AS span
    FROM pairs AS first
    JOIN pairs AS later ON first."user" = later."user" AND first.item = later.item AND first.file < later.file
),
spans AS (
    SELECT first, later, span, sum(rows) AS rows
    FROM same_pairs
    GROUP BY first, later, span
),
shared AS (
    SELECT first, later, sum(rows) AS rows, arg_max(span, rows) AS span, max(rows) AS spaced
    FROM spans
    GROUP BY first, later
),
ids AS (
    SELECT file, role, id, ln(1 + count(*)) AS weight
    FROM (UNPIVOT (SELECT file, "user", item FROM read WHERE file IS NOT NULL) ON "user", item INTO NAME role VALUE id)
    GROUP BY file, role, id
),
weighed AS (
    SELECT
        first, later, id, sum(weight) FILTER (file = first AND role = 'user') AS first_user, sum(weight) FILTER (file = first AND role = 'item') AS first_item,
        sum(weight) FILTER (file = later AND role = 'user') AS later_user, sum(weight) FILTER (file = later AND role = 'item') AS later_item
    FROM files
    JOIN ids ON ids.file IN (first, later)
    GROUP BY first, later, id
),
alike AS (
    SELECT
        first, later, corr(coalesce(first_user, 0), coalesce(later_user, 0)) AS users, corr(coalesce(first_item, 0), coalesce(later_item, 0)) AS items,
        corr(coalesce(first_user, 0), coalesce(later_item, 0)) AS users_of_items, corr(coalesce(first_item, 0), coalesce(later_user, 0)) AS items_of_users,
        least(count(first_user), count(first_item), count(later_user), count(later_item)) AS ids
    FROM weighed
    GROUP BY first, later
)
SELECT
    first - 1 AS first, later - 1 AS later, first_rows, later_rows, coalesce(shared.rows, 0)::DOUBLE AS again, coalesce(shared.span / 1000000, 0)::DOUBLE AS span,
    coalesce(spaced, 0)::DOUBLE AS spaced, (SELECT min(pairs) FROM pair_counts WHERE file IN (files.first, files.later))::DOUBLE AS pairs,
    ids, users, items, users_of_items, items_of_users
FROM files
LEFT JOIN shared USING (first, later)
LEFT JOIN alike USING (first, later)
ORDER BY first, later
