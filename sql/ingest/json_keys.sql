-- One row per key of the first objects in JSON-lines files: whether it holds a list or an object, one of its values, and
-- whether an object has it twice, and whether one has it beside a key that differs in upper and lower case alone.
-- $files VARCHAR[]: paths
-- $most BIGINT: how many objects
WITH sample AS (
    SELECT json
    FROM read_ndjson_objects($files, hive_partitioning = false, ignore_errors = true)
    LIMIT $most
),
keys AS (
    SELECT json, json_keys(json) AS keys, unnest(json_keys(json)) AS name
    FROM sample
    WHERE json_type(json) = 'OBJECT'
),
found AS (
    SELECT
        name, len(list_filter(keys, lambda key: key = name)) > 1 AS again, len(list_filter(keys, lambda key: lower(key) = lower(name))) > 1 AS alike,
        json_extract(json, '/' || replace(replace(name, '~', '~0'), '/', '~1')) AS value
    FROM keys
)
SELECT
    name, bool_or(json_type(value) IN ('ARRAY', 'OBJECT')) AS nested,
    any_value(left(value::VARCHAR, 60)) FILTER (json_type(value) IN ('ARRAY', 'OBJECT')) AS example,
    bool_or(again) AS twice, bool_or(alike) AS beside
FROM found
GROUP BY name
ORDER BY name
