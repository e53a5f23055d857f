-- One row: how many rows of one version of a period were put aside as repeats though they have other values than the row of their key that
-- stayed; of the first of them, the values of the row that stayed and its own, by column.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $key VARCHAR[]: names of the columns that tell rows apart
-- $columns VARCHAR[]: names of the columns that are compared
WITH aside AS (
    SELECT arrival, bool_or(reason = 'duplicate') AS repeated
    FROM quarantine
    WHERE period = $period AND version = $version
    GROUP BY arrival
),
arrived AS NOT MATERIALIZED (
    SELECT
        arrival, repeated,
        struct_pack(*COLUMNS(lambda name: list_contains($key, name))) AS key,
        struct_pack(*COLUMNS(lambda name: list_contains($columns, name))) AS content
    FROM landed
    LEFT JOIN aside USING (arrival)
    WHERE period = $period AND version = $version
),
repeats AS (
    SELECT arrival, key, content
    FROM arrived
    WHERE repeated
),
found AS (
    SELECT repeats.arrival, stayed.content AS first, repeats.content AS other
    FROM repeats
    JOIN arrived AS stayed USING (key)
    WHERE stayed.repeated IS NULL AND stayed.content IS DISTINCT FROM repeats.content
)
SELECT count(*)::DOUBLE AS rows, arg_min(first, arrival) AS first, arg_min(other, arrival) AS other
FROM found
