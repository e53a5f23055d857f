-- One row per user or item role whose clean rows of one version of a period have ids with an exponent, such as 2e3: which of the two, the
-- least such id, how many rows have one, and the share of all rows whose id is a whole number.
WITH clean AS (
    SELECT "user", item
    FROM clean_rows
),
ids AS (UNPIVOT clean ON "user", item INTO NAME role VALUE id),
found AS (
    SELECT role, min(id) AS id, count(*) AS rows
    FROM ids
    WHERE contains(id, 'e') AND regexp_full_match(id, '-?[1-9][0-9]*e[1-9][0-9]?')
    GROUP BY role
)
SELECT role, found.id, found.rows, avg(regexp_full_match(ids.id, '-?[0-9]+')::INTEGER) AS whole
FROM found JOIN ids USING (role)
GROUP BY role, found.id, found.rows
ORDER BY role
