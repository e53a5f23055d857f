-- One row: of the clean rows of one version of a period, how many lie on the first day of 1970, if the newest lies in these years (if all
-- rows are at its very start, all of them; else 0); how many there are if all lie after 1972 and before these years, as ticks of .NET and
-- Windows do that are taken for nanoseconds (else 0), and the newest; how many there are if all lie before 1973 and after the first hours of
-- 1970, which no count from 0 on does (else 0), and the oldest; how many lie far from all others, with the farthest of them; and the times between
-- which the others lie. Far is more than a year, and more than ten times the time between the first and the last hundredth of the rows,
-- of which every n-th is looked at, so that memory stays flat.
-- $day BIGINT: µs of a day
-- $early BIGINT: µs since 1970 of the start of 1973: numbers that count from 0 on lie before it
-- $counted BIGINT: µs since 1970 before which a count from 0 on begins
-- $old BIGINT: µs since 1970 from which on times are of these years
WITH clean AS (
    SELECT arrival, epoch_us(time) AS micros
    FROM clean_rows
),
counted AS (
    SELECT greatest(count(*) // 200000, 1) AS stride, min(micros) AS oldest, max(micros) AS newest
    FROM clean
),
found AS (
    SELECT
        any_value(oldest) AS oldest, any_value(newest) AS newest,
        quantile_disc(micros, 0.01) FILTER (arrival % stride = 0) AS first, quantile_disc(micros, 0.99) FILTER (arrival % stride = 0) AS last
    FROM clean, counted
),
placed AS (
    SELECT
        micros, oldest, newest, first, last,
        micros BETWEEN 0 AND $day - 1 AND (newest >= $old OR oldest = 0 AND newest = 0) AS missing,
        greatest(micros - last, first - micros) > greatest(365 * $day, 10 * (last - first)) AS far
    FROM clean, found
)
SELECT
    count(*) FILTER (oldest >= $early AND newest < $old)::DOUBLE AS old, make_timestamp(any_value(newest))::VARCHAR AS newest,
    count(*) FILTER (oldest >= $counted AND newest < $early)::DOUBLE AS early, make_timestamp(any_value(oldest))::VARCHAR AS oldest,
    count(*) FILTER (missing)::DOUBLE AS missing, count(*) FILTER (far AND NOT missing)::DOUBLE AS far,
    make_timestamp(arg_max(micros, greatest(micros - last, first - micros)) FILTER (far AND NOT missing))::VARCHAR AS example,
    make_timestamp(any_value(first))::VARCHAR AS first, make_timestamp(any_value(last))::VARCHAR AS last
FROM placed
