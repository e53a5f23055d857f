-- One row per key of the first objects in JSON-lines files: whether it holds a list or an object, one of its values, and
-- whether an object has it twice, and whether one has it beside a key that differs in upper and lower case alone.
-- Keys that are alike are neighbours in the sorted keys of an object: to compare each with each would be quadratic.
-- $files VARCHAR[]: paths
-- $most BIGINT: how many objects
-- Only the beginning of each value is kept: a line may have 4 MB.
WITH sample AS (
    SELECT
        json_type(json) AS kind, json_keys(json) AS keys,
        list_transform(json_extract(json, '$.*'), lambda value: left(value::VARCHAR, 60)) AS found
    FROM read_ndjson_objects($files, hive_partitioning = false, ignore_errors = true)
    LIMIT $most
),
listed AS (
    SELECT keys, found, list_sort(list_transform(keys, lambda key: [lower(key), key])) AS sorted
    FROM sample
    WHERE kind = 'OBJECT'
),
compared AS (
    SELECT
        keys, found,
        list_filter(list_zip(sorted, sorted[2:], true), lambda pair: pair[1][1] = pair[2][1]) AS pairs,
        flatten(list_transform(pairs, lambda pair: [pair[1][2], pair[2][2]])) AS alike,
        list_transform(list_filter(pairs, lambda pair: pair[1] = pair[2]), lambda pair: pair[1][2]) AS again
    FROM listed
),
told AS (
    SELECT
        unnest(list_concat(keys, alike, again)) AS name, unnest(found) AS value,
        unnest(range(len(keys) + len(alike) + len(again))) AS position, len(keys) AS first_alike, first_alike + len(alike) AS first_again
    FROM compared
)
SELECT
    name, bool_or(left(value, 1) IN ('[', '{')) AS nested, any_value(value) FILTER (left(value, 1) IN ('[', '{')) AS example,
    bool_or(position >= first_again) AS twice, bool_or(position >= first_alike) AS beside
FROM told
GROUP BY name
ORDER BY name
