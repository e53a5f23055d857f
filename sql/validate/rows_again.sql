-- One row: of the clean rows of one version of a period, or of those of every n-th user, how many there are, how many pairs of user and item
-- they have, and how many rows another version of an earlier period has too but for their times.
-- $stride BIGINT: only users are looked at whose hash it divides, so that memory stays flat
-- $period INTEGER: index of the earlier period
-- $version INTEGER: its version
WITH here AS (
    SELECT "user", item, label, count(*) AS rows
    FROM clean_rows
    WHERE hash("user") % $stride::UBIGINT = 0
    GROUP BY "user", item, label
),
before AS (
    SELECT "user", item, label, count(*) AS rows
    FROM landed
    SEMI JOIN here USING ("user", item)
    WHERE period = $period AND version = $version AND hash("user") % $stride::UBIGINT = 0
    GROUP BY "user", item, label
)
SELECT
    coalesce(sum(here.rows), 0)::DOUBLE AS rows, count(*)::DOUBLE AS pairs, coalesce(sum(least(here.rows, coalesce(before.rows, 0))), 0)::DOUBLE AS again
FROM here
LEFT JOIN before ON here."user" = before."user" AND here.item = before.item AND here.label IS NOT DISTINCT FROM before.label
