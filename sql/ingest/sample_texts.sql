-- One row per column of texts of the landed rows, and kind of text: how many different values are of the kind, how many rows they have, and
-- the three that have most. Missing values are of no kind; of a column without values there is no row.
-- $columns VARCHAR[]: names of the columns in the lake
WITH texts AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))::VARCHAR
    FROM landed
),
counted AS (
    SELECT field, value, count(*) AS rows, id_kind(value) AS kind
    FROM (UNPIVOT texts ON COLUMNS(*) INTO NAME field VALUE value)
    GROUP BY field, value
)
SELECT
    field, kind, count(*) AS different, sum(rows)::BIGINT AS rows,
    arg_max(value, (rows, value), 3) AS examples
FROM counted
GROUP BY field, kind
ORDER BY field, rows DESC, kind
