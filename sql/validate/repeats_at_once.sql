-- One row: of the clean rows of some users of one version of a period, how many there are, and how many come less than a second after
-- another row of the same user and item; and the first two such times. And the most frequent span of a second or more between a row and the
-- one of its user and item before it, in seconds, how many rows have it, and the first two such times; and how many rows come between a second and a
-- minute after it.
-- $most BIGINT: about how many rows are looked at, so that memory stays flat
WITH part AS (
    SELECT greatest(count(*) // $most, 1)::UBIGINT AS parts
    FROM clean_rows
),
followed AS (
    SELECT hash("user", item) AS pair, epoch_us(time) AS micros, lag(pair) OVER following AS pair_before, lag(micros) OVER following AS before
    FROM clean_rows
    WHERE hash("user") % (SELECT parts FROM part) = 0
    WINDOW following AS (ORDER BY pair, micros)
),
counted AS (
    SELECT micros, before, CASE WHEN pair = pair_before THEN micros - before END AS span, coalesce(span BETWEEN 1 AND 999999, false) AS soon
    FROM followed
),
spans AS (
    SELECT span, count(*) AS rows, min(micros) AS micros
    FROM counted
    WHERE span >= 1000000
    GROUP BY span
    ORDER BY rows DESC, span
    LIMIT 1
)
SELECT
    count(*)::DOUBLE AS rows, count(*) FILTER (soon)::DOUBLE AS soon, make_timestamp(arg_min(before, micros) FILTER (soon))::VARCHAR AS first,
    make_timestamp(min(micros) FILTER (soon))::VARCHAR AS second,
    (SELECT span / 1000000 FROM spans)::DOUBLE AS span, coalesce((SELECT rows FROM spans), 0)::DOUBLE AS spaced,
    (SELECT make_timestamp(micros - span) FROM spans)::VARCHAR AS first_spaced, (SELECT make_timestamp(micros) FROM spans)::VARCHAR AS second_spaced,
    count(*) FILTER (span BETWEEN 1000000 AND 59999999)::DOUBLE AS in_a_minute
FROM counted
