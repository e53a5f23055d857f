-- One row per clean row of the versions asked for, in the order of the loop: period, time, user, item.
-- Ids are ordered by length, then by their bytes, so that numbers written as text keep their order.
-- $periods INTEGER[]: indexes of the periods
-- $versions INTEGER[]: the version of each
-- $columns VARCHAR[]: names of the columns wanted
WITH asked AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
)
SELECT COLUMNS(lambda name: list_contains($columns, name))
FROM landed
SEMI JOIN asked USING (period, version)
ANTI JOIN quarantine USING (period, version, arrival)
ORDER BY period, time, length("user"), "user", length(item), item, arrival
