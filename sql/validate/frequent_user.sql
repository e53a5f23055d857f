-- One row: of the clean rows of one version of a period how many there are, how many users they have, the user with most of them, how many
-- these are, and how many a user has in the middle.
WITH counted AS (
    SELECT "user", count(*) AS rows
    FROM clean_rows
    GROUP BY "user"
)
SELECT
    count(*) AS users, coalesce(sum(rows), 0)::DOUBLE AS rows, arg_max("user", rows) AS most_frequent, max(rows)::DOUBLE AS most,
    median(rows)::DOUBLE AS middle
FROM counted
