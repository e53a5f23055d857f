-- One row: how many clean rows one version of a period has, if all of them lie between 1:00 and 12:59 and each of these hours has some (else 0),
-- and how many the hour with fewest has;
-- of these in the order they came, how many are earlier than the one before, and how many of those follow one of 12 o'clock at 1 o'clock
-- of the same day, as rows of a clock of 12 hours do.
WITH clean AS (
    SELECT arrival, epoch_us(time) AS micros, epoch_us(time) // 3600000000 % 24 AS hour
    FROM clean_rows
),
hours AS (
    SELECT hour, count(*) AS rows
    FROM clean
    GROUP BY hour
),
counted AS (
    SELECT CASE WHEN min(hour) = 1 AND max(hour) = 12 AND count(*) = 12 THEN sum(rows) ELSE 0 END AS rows, min(rows) AS least
    FROM hours
),
followed AS (
    SELECT micros, hour, lag(micros) OVER (ORDER BY arrival) AS before, lag(hour) OVER (ORDER BY arrival) AS hour_before
    FROM clean
    WHERE (SELECT rows FROM counted) > 0
)
SELECT
    any_value(counted.rows)::DOUBLE AS rows, coalesce(any_value(counted.least), 0)::DOUBLE AS least, count(*) FILTER (micros < before)::DOUBLE AS back,
    count(*) FILTER (micros < before AND hour_before = 12 AND hour = 1 AND micros // 86400000000 = before // 86400000000)::DOUBLE AS turns
FROM counted
LEFT JOIN followed ON true
