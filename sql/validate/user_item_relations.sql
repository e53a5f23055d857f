-- One row: of `some_rows`, how many there are; how many have one id as user and
-- item; how many have an item of two rows or more, how many have one of two users or more; how many users such rows have; the same of users
-- of two rows or more and of two items or more, and their items; and a pair of such rows of each.
WITH part AS (
    SELECT "user", item
    FROM some_rows
),
counted AS (
    SELECT "user", item, count(*) AS rows
    FROM part
    GROUP BY "user", item
),
placed AS (
    SELECT
        "user", item, rows, count(*) OVER of_item AS users, sum(rows) OVER of_item AS item_rows, count(*) OVER of_user AS items,
        sum(rows) OVER of_user AS user_rows
    FROM counted
    WINDOW of_item AS (PARTITION BY item), of_user AS (PARTITION BY "user")
)
SELECT
    coalesce(sum(rows), 0)::DOUBLE AS rows, coalesce(sum(rows) FILTER ("user" = item), 0)::DOUBLE AS same,
    min(item) FILTER ("user" = item) AS one_same,
    coalesce(sum(rows) FILTER (item_rows > 1), 0)::DOUBLE AS item_again, count(*) FILTER (users > 1)::DOUBLE AS item_shared,
    count(DISTINCT "user") FILTER (item_rows > 1)::DOUBLE AS item_users, count(DISTINCT item) FILTER (item_rows > 1)::DOUBLE AS again_items,
    coalesce(sum(rows) FILTER (user_rows > 1), 0)::DOUBLE AS user_again, count(*) FILTER (items > 1)::DOUBLE AS user_shared,
    count(DISTINCT item) FILTER (user_rows > 1)::DOUBLE AS user_items, count(DISTINCT "user") FILTER (user_rows > 1)::DOUBLE AS again_users,
    min(item) FILTER (item_rows > 1) AS one_item, arg_min("user", item) FILTER (item_rows > 1) AS its_user,
    min("user") FILTER (user_rows > 1) AS one_user, arg_min(item, "user") FILTER (user_rows > 1) AS its_item
FROM placed
