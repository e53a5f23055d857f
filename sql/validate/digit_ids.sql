-- One row per user or item of digits, maybe with a plus before and a fraction behind them, among the clean rows of one version of a period,
-- 10,000 at most: the id; none if no id has what a program that takes it for a number removes, zeros or a plus at its start and zeros at the
-- end of its fraction, here or as $padded says. Which ones of many is the same every time, and does not depend on these.
-- $role VARCHAR: user or item
-- $padded BOOLEAN: whether such ids were known before
-- $padding VARCHAR: a regular expression for such ids
-- $start VARCHAR: one for what is removed at their start
-- $end VARCHAR: one for an id with zeros at the end of its fraction; its first group is the id without them
WITH ids AS (
    SELECT id
    FROM clean_ids
    WHERE role = $role
),
asked AS (
    SELECT $padded OR coalesce(bool_or(id[1] IN ('0', '+') OR id[-1] = '0' AND contains(id, '.')) AND bool_or(regexp_full_match(id, $padding)), false) AS asked
    FROM ids
)
SELECT id
FROM ids
WHERE (SELECT asked FROM asked) AND regexp_full_match(id, '[+]?[0-9]+([.][0-9]+)?')
ORDER BY md5(regexp_replace(regexp_replace(id, $start, ''), $end, '\1')), id
LIMIT 10000
