-- One row per user or item role of the clean rows of one version of a period, and kind of text: how many ids are of the kind, how many of
-- these have 16 characters or more, how many rows they have, and the three that have most.
WITH judged AS (
    SELECT role, id, rows, id_kind(id) AS kind
    FROM clean_ids
)
SELECT
    role, kind, count(*) AS ids, count(*) FILTER (length(id) >= 16) AS long, sum(rows)::BIGINT AS rows,
    arg_max(id, (rows, id), 3) AS examples
FROM judged
GROUP BY role, kind
ORDER BY role, rows DESC, kind
