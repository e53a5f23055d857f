-- One row: the share of the clean rows of one version of a period, or of those of every n-th user, whose user took the item in an earlier row,
-- of these or of other versions of earlier periods; NULL if there are no rows.
-- $stride BIGINT: only users are looked at whose hash it divides, so that memory stays flat
-- $periods INTEGER[]: indexes of the earlier periods
-- $versions INTEGER[]: the version of each
WITH here AS (
    SELECT "user", item, count(*) AS rows
    FROM clean_rows
    WHERE $stride = 1 OR md5_number_lower("user") % $stride = 0
    GROUP BY "user", item
),
asked AS (
    SELECT unnest($periods::INTEGER[]) AS period, unnest($versions::INTEGER[]) AS version
),
taken AS (
    SELECT DISTINCT "user", item
    FROM landed
    SEMI JOIN asked USING (period, version)
    ANTI JOIN quarantine USING (period, version, arrival)
    SEMI JOIN here USING ("user", item)
)
SELECT sum(CASE WHEN taken.item IS NULL THEN rows - 1 ELSE rows END)::DOUBLE / sum(rows) AS share
FROM here
LEFT JOIN taken USING ("user", item)
