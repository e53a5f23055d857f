-- One row: of the clean rows of one version of a period how many there are, how many users they have, the user with most of them, how many
-- these are, and how many a user has in the middle.
WITH users AS (
    SELECT id, rows
    FROM clean_ids
    WHERE role = 'user'
)
SELECT
    count(*) AS users, coalesce(sum(rows), 0)::DOUBLE AS rows, max(rows)::DOUBLE AS most, median(rows)::DOUBLE AS middle,
    min(id) FILTER (rows = (SELECT max(rows) FROM users)) AS most_frequent
FROM users
