-- One row per user and item among the newest that each user took in clean rows of the versions asked for, oldest first.
-- Rows of one instant are ordered as the loop orders them: ids by length, then by their bytes.
-- $periods INTEGER[]: indexes of the periods
-- $versions INTEGER[]: the version of each
-- $most INTEGER: how many items a user has at most
-- $labelled BOOLEAN: whether only rows with a label above one half were taken; else all were
WITH asked AS (
    SELECT unnest($periods) AS period, unnest($versions) AS version
),
taken AS (
    SELECT period, time, "user", item, arrival
    FROM landed
    SEMI JOIN asked USING (period, version)
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE NOT $labelled OR label > 0.5
),
newest AS (
    SELECT *
    FROM taken
    QUALIFY row_number() OVER (
        PARTITION BY "user" ORDER BY period DESC, time DESC, length(item) DESC, item DESC, arrival DESC
    ) <= $most
)
SELECT "user", item
FROM newest
ORDER BY period, time, length(item), item, arrival
