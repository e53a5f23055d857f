-- One row per reason for which landing put rows of one version of a period aside: how many, and the first three of them.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
WITH reasons AS (
    SELECT DISTINCT reason, arrival, left(coalesce(json_extract_string(raw, '/_line'), replace(raw, ',"_line":null', '')), 240) AS raw
    FROM quarantine
    WHERE period = $period AND version = $version AND NOT contains(reason, '/')
)
SELECT reason, count(*) AS rows, arg_min(struct_pack(arrival := arrival, value := raw), arrival, 3) AS examples
FROM reasons
GROUP BY reason
ORDER BY reason
