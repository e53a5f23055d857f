-- One row per text column and bucket of its values: the bucket's share of the clean rows of one version of a period.
-- A bucket is the first two hexadecimal digits of the value's MD5; missing values have their own.
-- $columns VARCHAR[]: names of the columns in the lake
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM clean_rows
),
counted AS (
    SELECT field, value, count(*) AS rows
    FROM clean UNPIVOT INCLUDE NULLS (value FOR field IN (COLUMNS(*)))
    GROUP BY field, value
),
bucketed AS (
    SELECT field, coalesce(left(md5(value), 2), 'missing') AS bucket, sum(rows)::DOUBLE AS rows
    FROM counted
    GROUP BY field, bucket
)
SELECT field, bucket, rows / sum(rows) OVER (PARTITION BY field) AS share
FROM bucketed
ORDER BY field, bucket
