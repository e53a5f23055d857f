-- One row per text column of `some_rows`: the most characters that a value has, how
-- many values have so many, how many different lengths the values have that are at most 60 characters shorter, how many values have the most
-- frequent of these lengths, and the least of the longest values.
-- $columns VARCHAR[]: names of the columns in the lake
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM some_rows
),
sized AS (
    SELECT field, length(value) AS size, count(DISTINCT value) AS values, min(value) AS value
    FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
    WHERE length(value) >= 20
    GROUP BY field, size
),
longest AS (
    SELECT field, max(size) AS longest, arg_max(values, size) AS cut, arg_max(value, size) AS one_cut
    FROM sized
    GROUP BY field
)
SELECT field, longest, cut, one_cut, count(size) AS lengths, coalesce(max(values), 0) AS most
FROM longest LEFT JOIN sized USING (field)
WHERE size IS NULL OR size BETWEEN longest - 60 AND longest - 1
GROUP BY field, longest, cut, one_cut
ORDER BY field
