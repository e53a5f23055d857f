-- One row per column of `some_rows`, and one for the seconds of the time: how many
-- rows there are, how many have the label 1; how well the values alone tell the label, as AUC in either direction; the value that most
-- rows of label 0 have, and of label 1, and all; and of the rows that have another value than this one, how many there are and how many have
-- the label 1. Of texts the rate of half of the rows is the score of a value in the other half, and values of one row share theirs; numbers are their own score.
-- $columns VARCHAR[]: names of the columns in the lake
-- $numbers VARCHAR[]: those of them that are numbers
WITH part AS (
    SELECT
        label, hash(arrival) % 2 = 0 AS _found, (epoch_us(time) % 60000000)::VARCHAR AS _micros,
        coalesce(COLUMNS(lambda name: list_contains($columns, name))::VARCHAR, '')
    FROM some_rows
),
counted AS (
    SELECT
        field, value, count(*) AS rows, sum(label) AS ones, count(*) FILTER (_found) AS seen,
        coalesce(sum(label) FILTER (_found), 0) AS seen_ones
    FROM (UNPIVOT part ON COLUMNS(* EXCLUDE (label, _found)) INTO NAME field VALUE value)
    GROUP BY field, value
),
rates AS (
    SELECT
        field, rows - seen AS rows, ones - seen_ones AS ones,
        CASE WHEN seen > 1 THEN seen_ones / seen ELSE coalesce(sum(seen_ones) FILTER (seen = 1) OVER of_field / count(*) FILTER (seen = 1) OVER of_field, 0) END AS score
    FROM counted
    WINDOW of_field AS (PARTITION BY field)
    UNION ALL
    SELECT field || ' as a number', rows, ones, coalesce(TRY_CAST(value AS DOUBLE), '-inf'::DOUBLE)
    FROM counted
    WHERE list_contains($numbers, field)
),
scores AS (
    SELECT field, score, sum(ones) AS ones, sum(rows - ones) AS zeros
    FROM rates
    GROUP BY field, score
),
placed AS (
    SELECT field, ones, zeros, sum(zeros) OVER (PARTITION BY field ORDER BY score) - zeros / 2 AS below
    FROM scores
),
told AS (
    SELECT replace(field, ' as a number', '') AS name, sum(ones * below) / nullif(sum(ones) * sum(zeros), 0) AS auc
    FROM placed
    GROUP BY field
),
best AS (
    SELECT name, max(greatest(auc, 1 - auc)) AS auc
    FROM told
    GROUP BY name
),
found AS (
    SELECT
        field, sum(rows) AS rows, sum(ones) AS ones, arg_max(value, rows - ones) AS of_zeros, arg_max(value, ones) AS of_ones, arg_max(value, rows) AS usual,
        sum(rows) - max(rows) AS others, sum(ones) - arg_max(ones, rows) AS other_ones
    FROM counted
    GROUP BY field
)
SELECT
    field, rows::DOUBLE AS rows, ones::DOUBLE AS ones, coalesce(auc, 0.5) AS auc, of_zeros, of_ones, others::DOUBLE AS others,
    other_ones::DOUBLE AS other_ones, usual
FROM found
JOIN best ON best.name = found.field
ORDER BY field
