-- One row per user or item role: how many ids the clean rows of one version of a period have; how many of these look like several ids, each
-- with a digit, with blanks, commas or semicolons between them; how many look like the dates that a spreadsheet makes of 1-2 or MAR1; and
-- the least id of each kind.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
WITH clean AS (
    SELECT "user", item
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
),
ids AS (
    SELECT DISTINCT role, id
    FROM (UNPIVOT clean ON "user", item INTO NAME role VALUE id)
),
judged AS (
    SELECT
        role, id, regexp_full_match(id, '[A-Za-z]*[0-9][\w-]*(?:(?: +|[,;] *)[A-Za-z]*[0-9][\w-]*)+') AS several,
        regexp_full_match(id, '(?:[0-9]{1,2}-)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?:-[0-9]{2,4})?|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}')
            AND regexp_matches(id, '[0-9]') AS dated
    FROM ids
)
SELECT
    role, count(*) AS ids, count(*) FILTER (several)::DOUBLE AS several, min(id) FILTER (several) AS one_of_several,
    count(*) FILTER (dated)::DOUBLE AS dated, min(id) FILTER (dated) AS one_dated
FROM judged
GROUP BY role
ORDER BY role
