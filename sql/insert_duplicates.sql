-- One row: how many rows of a staged delivery were put aside because their key was there before.
-- Of rows with one key the first in time stays, and of those at one time the first that arrived. Keys are looked at
-- one part after another, so that memory does not grow with the delivery.
-- $file VARCHAR: the staged delivery, a Parquet file
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $part UBIGINT: which part of the keys
-- $parts UBIGINT: how many parts there are
INSERT INTO quarantine BY NAME
WITH usable AS (
    SELECT
        arrival, time, _key,
        CASE WHEN _key IS NULL THEN "user" END AS who,
        CASE WHEN _key IS NULL THEN item END AS what,
        CASE WHEN _key IS NULL THEN time END AS moment
    FROM read_parquet($file)
    WHERE _reasons IS NULL
),
marked AS (
    SELECT *, hash(_key, who, what, moment) AS mark
    FROM usable
    WHERE hash(_key, who, what, moment) % $parts = $part
),
suspects AS (
    SELECT mark
    FROM marked
    GROUP BY mark
    HAVING count(*) > 1
),
ranked AS (
    SELECT arrival, row_number() OVER (PARTITION BY _key, who, what, moment ORDER BY time, arrival) AS place
    FROM marked
    WHERE mark IN (FROM suspects)
)
SELECT $period AS period, $version AS version, arrival, 'duplicate' AS reason, NULL::VARCHAR AS raw
FROM ranked
WHERE place > 1
