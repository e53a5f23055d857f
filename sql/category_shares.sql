-- One row per bucket of a text column's values: its share of the clean rows of one version of a period.
-- A bucket is the first two hexadecimal digits of the value's MD5; missing values have their own.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $column VARCHAR: name of the column in the lake
WITH clean AS (
    SELECT COLUMNS(name -> name = $column) AS value
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
),
counted AS (
    SELECT coalesce(left(md5(value::VARCHAR), 2), 'missing') AS bucket, count(*) AS rows
    FROM clean
    GROUP BY bucket
)
SELECT bucket, rows / sum(rows) OVER () AS share
FROM counted
ORDER BY bucket
