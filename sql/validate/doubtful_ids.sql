-- One row per user or item role: how many ids the clean rows of one version of a period have; how many of these look like several ids, each
-- with a digit, with blanks, commas, semicolons or | between them; how many look like the dates that a spreadsheet makes of 1-2 or MAR1; how
-- many of six characters or more differ from others in the case of letters alone, as UUIDs of SQL Server and of other programs do; and the
-- least id of each kind.
WITH cased AS (
    SELECT role, count(*) AS ids, min(id) AS one, max(id) AS other
    FROM clean_ids
    WHERE length(id) >= 6 AND lower(id) <> upper(id)
    GROUP BY role, lower(id)
    HAVING count(*) > 1
),
twins AS (
    SELECT role, sum(ids) AS cased, min(one) AS one_case, arg_min(other, one) AS other_case
    FROM cased
    GROUP BY role
),
judged AS (
    SELECT
        role, id,
        CASE WHEN contains(id, ' ') OR contains(id, ',') OR contains(id, chr(59)) OR contains(id, '|')
            THEN regexp_full_match(id, '[A-Za-z]*[0-9][\w-]*(?:(?: +|[,\x3b|] *)[A-Za-z]*[0-9][\w-]*)+') ELSE false END AS several,
        CASE WHEN strlen(id) < 12 AND (contains(id, '-') OR contains(id, '/')) THEN regexp_full_match(
            id, '(?:[0-9]{1,2}-)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?:-[0-9]{2,4})?|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}'
        ) ELSE false END AS dated
    FROM clean_ids
)
SELECT
    role, count(*) AS ids, count(*) FILTER (several)::DOUBLE AS several, min(id) FILTER (several) AS one_of_several,
    count(*) FILTER (dated)::DOUBLE AS dated, min(id) FILTER (dated) AS one_dated,
    coalesce(any_value(cased), 0)::DOUBLE AS cased, any_value(one_case) AS one_case, any_value(other_case) AS other_case
FROM judged
LEFT JOIN twins USING (role)
GROUP BY role
ORDER BY role
