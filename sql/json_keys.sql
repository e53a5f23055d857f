-- One row per key of the first thousand objects in JSON-lines files.
-- $files VARCHAR[]: paths
WITH sample AS (
    SELECT json
    FROM read_ndjson_objects($files, ignore_errors = true)
    LIMIT 1000
)
SELECT DISTINCT unnest(json_keys(json)) AS name
FROM sample
WHERE json_type(json) = 'OBJECT'
ORDER BY name
