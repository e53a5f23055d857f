-- One row per user or item of digits alone among the clean rows of one version of a period, 10,000 at most: the id; none if no id begins with
-- a zero, here or as $padded says. Which ones of many is the same every time, and does not depend on their zeros.
-- $role VARCHAR: user or item
-- $padded BOOLEAN: whether ids that begin with a zero were known before
WITH clean AS (
    SELECT CASE WHEN $role = 'user' THEN "user" ELSE item END AS id
    FROM clean_rows
),
asked AS (
    SELECT $padded OR coalesce(bool_or(starts_with(id, '0') AND regexp_full_match(id, '0[0-9]+')), false) AS asked
    FROM clean
),
ids AS (
    SELECT DISTINCT id
    FROM clean
    WHERE (SELECT asked FROM asked) AND regexp_full_match(id, '[0-9]+')
)
SELECT id
FROM ids
ORDER BY md5(ltrim(id, '0')), id
LIMIT 10000
