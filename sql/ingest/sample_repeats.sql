-- One row: how many landed rows have a time, how many of them come after another row of their user and item, and how many less than a minute
-- after it.
WITH followed AS (
    SELECT epoch_us(time) - lag(epoch_us(time)) OVER (PARTITION BY "user", item ORDER BY time) AS span
    FROM landed
    WHERE time IS NOT NULL AND "user" IS NOT NULL AND item IS NOT NULL
)
SELECT count(*) AS rows, count(span) AS again, count(*) FILTER (span < 60000000) AS soon
FROM followed
