-- One row: of the clean rows of one version of a period, every n-th by its arrival: how many there are, the time of day that most of them
-- have and how many do, and how many rows a time of day has in the middle.
-- $most BIGINT: about how many rows are looked at, so that memory stays flat
WITH counted AS (
    SELECT epoch_us(time) % 86400000000 AS micros, count(*) AS rows
    FROM clean_rows
    WHERE arrival % (SELECT greatest(count(*) // $most, 1) FROM clean_rows) = 0
    GROUP BY micros
)
SELECT sum(rows)::DOUBLE AS rows, max(rows)::DOUBLE AS most, median(rows)::DOUBLE AS middle, make_time(0, 0, 0) + to_microseconds(arg_max(micros, rows)) AS clock
FROM counted
