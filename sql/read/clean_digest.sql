-- One row: how many rows of a version are clean, and the sum of their hashes, which is the same in any order.
-- $period INTEGER: index of the period
-- $version INTEGER: the version
-- $columns VARCHAR[]: names of the columns that say what a row is
WITH content AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
)
SELECT count(*) AS rows, coalesce(sum(md5_number_lower(to_json(content)::VARCHAR)), 0)::VARCHAR AS total
FROM content
