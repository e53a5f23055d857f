-- One row per eighth of `some_rows`, but for the first eighth: how many rows it has,
-- how many ids the users and items of it and of the first one have at least; and how alike the rows of ids are in both, as correlation: of
-- users, of items, of users of the first and items of this one, and of items of the first and users of this one.
WITH part AS (
    SELECT "user", item, (arrival * 8 // (SELECT max(arrival) + 1 FROM some_rows))::INTEGER AS block
    FROM some_rows
),
weighed AS (
    SELECT
        block, id, coalesce(ln(1 + count(*) FILTER (role = 'user')), 0) AS as_user, coalesce(ln(1 + count(*) FILTER (role = 'item')), 0) AS as_item,
        count(*) FILTER (role = 'user') AS rows
    FROM (UNPIVOT part ON "user", item INTO NAME role VALUE id)
    GROUP BY block, id
),
sizes AS (
    SELECT block, sum(rows)::DOUBLE AS rows, least(count(*) FILTER (as_user > 0), count(*) FILTER (as_item > 0)) AS ids
    FROM weighed
    GROUP BY block
),
placed AS (
    SELECT sizes.block, first.id, first.as_user AS first_user, first.as_item AS first_item, coalesce(later.as_user, 0) AS as_user, coalesce(later.as_item, 0) AS as_item
    FROM sizes
    JOIN weighed AS first ON first.block = 0
    LEFT JOIN weighed AS later ON later.block = sizes.block AND later.id = first.id
    WHERE sizes.block > 0
    UNION ALL
    SELECT later.block, later.id, 0, 0, later.as_user, later.as_item
    FROM weighed AS later
    ANTI JOIN (SELECT id FROM weighed WHERE block = 0) USING (id)
    WHERE later.block > 0
)
SELECT
    block, any_value(sizes.rows) AS rows, least(any_value(sizes.ids), (SELECT ids FROM sizes WHERE block = 0)) AS ids,
    corr(first_user, as_user) AS users, corr(first_item, as_item) AS items, corr(first_user, as_item) AS users_of_items,
    corr(first_item, as_user) AS items_of_users
FROM placed
JOIN sizes USING (block)
GROUP BY block
ORDER BY block
