-- One row per numeric column and quantile 0, 1, ..., 40 (of 40), over the clean rows of one version of a period.
-- $columns VARCHAR[]: names of the columns in the lake
-- $stride BIGINT: only rows whose arrival it divides are looked at
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM clean_rows
    WHERE arrival % $stride = 0
),
found AS (
    SELECT field, quantile_disc(value, [
        0.000, 0.025, 0.050, 0.075, 0.100, 0.125, 0.150, 0.175, 0.200, 0.225, 0.250, 0.275, 0.300, 0.325,
        0.350, 0.375, 0.400, 0.425, 0.450, 0.475, 0.500, 0.525, 0.550, 0.575, 0.600, 0.625, 0.650, 0.675,
        0.700, 0.725, 0.750, 0.775, 0.800, 0.825, 0.850, 0.875, 0.900, 0.925, 0.950, 0.975, 1.000
    ]) AS points
    FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
    WHERE isfinite(value)
    GROUP BY field
)
SELECT field, unnest(range(41)) AS quantile, unnest(points) AS value
FROM found
ORDER BY field, quantile
