-- One row per text column in which clean rows of one version of a period have a value that was read in another encoding than it was written
-- in: how many rows, and the least such value.
-- $columns VARCHAR[]: names of the columns in the lake
-- $signs VARCHAR: a regular expression for what a wrong encoding leaves, beside an escape, with which ISO 2022 changes alphabets
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM clean_rows
),
counted AS (
    SELECT field, value, count(*) AS rows
    FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
    WHERE strlen(value) > length(value) OR contains(value, chr(27)) OR contains(value, '???')
    GROUP BY field, value
)
SELECT field, sum(rows)::DOUBLE AS rows, min(value) AS value
FROM counted
WHERE contains(value, chr(27)) OR regexp_matches(value, $signs)
GROUP BY field
ORDER BY field
