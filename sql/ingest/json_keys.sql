-- One row per key of the first objects in JSON-lines files: whether it holds a list or an object, and one of its values.
-- $files VARCHAR[]: paths
-- $most BIGINT: how many objects
WITH sample AS (
    SELECT json
    FROM read_ndjson_objects($files, hive_partitioning = false, ignore_errors = true)
    LIMIT $most
),
keys AS (
    SELECT json, unnest(json_keys(json)) AS name
    FROM sample
    WHERE json_type(json) = 'OBJECT'
),
found AS (
    SELECT name, json_extract(json, '/' || replace(replace(name, '~', '~0'), '/', '~1')) AS value
    FROM keys
)
SELECT name, bool_or(json_type(value) IN ('ARRAY', 'OBJECT')) AS nested, any_value(left(value::VARCHAR, 60)) FILTER (json_type(value) IN ('ARRAY', 'OBJECT')) AS example
FROM found
GROUP BY name
ORDER BY name
