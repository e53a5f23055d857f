-- One row: of `some_rows`: how many there are, the time of day that most of them
-- have and how many do, how many rows a time of day has in the middle, how many different hours and seconds their times have, whether the
-- minute of each is its month, the first time, how many rows have a fraction of a second, how many different fractions there are, and how
-- many rows have one below a tenth.
WITH counted AS (
    SELECT epoch_us(time) % 86400000000 AS micros, count(*) AS rows, bool_and(minute(time) = month(time)) AS months, min(time) AS first
    FROM some_rows
    GROUP BY micros
)
SELECT sum(rows)::DOUBLE AS rows, max(rows)::DOUBLE AS most, median(rows)::DOUBLE AS middle, make_time(0, 0, 0) + to_microseconds(arg_max(micros, rows)) AS clock,
    count(DISTINCT micros // 3600000000) AS hours, count(DISTINCT micros // 1000000 % 60) AS seconds, bool_and(months) AS months,
    strftime(min(first), '%Y-%m-%d %H:%M:%S') AS one_time,
    coalesce(sum(rows) FILTER (micros % 1000000 > 0), 0)::DOUBLE AS parts, count(DISTINCT micros % 1000000) AS different,
    coalesce(sum(rows) FILTER (micros % 1000000 BETWEEN 1 AND 99999), 0)::DOUBLE AS tenths
FROM counted
