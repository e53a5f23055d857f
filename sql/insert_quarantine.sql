-- One row: how many reasons were put down for rows of a staged delivery: what could not be typed, and repeats of a key.
-- Of rows with one key the first in time stays, and of those at one time the first that arrived.
-- $file VARCHAR: the staged delivery, a Parquet file
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
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
suspects AS (
    SELECT hash(_key, who, what, moment) AS mark
    FROM usable
    GROUP BY mark
    HAVING count(*) > 1
),
ranked AS (
    SELECT arrival, row_number() OVER (PARTITION BY _key, who, what, moment ORDER BY time, arrival) AS place
    FROM usable
    WHERE hash(_key, who, what, moment) IN (FROM suspects)
)
SELECT $period AS period, $version AS version, arrival, unnest(_reasons) AS reason, _raw AS raw
FROM read_parquet($file)
WHERE _reasons IS NOT NULL
UNION ALL BY NAME
SELECT $period AS period, $version AS version, arrival, 'duplicate' AS reason, NULL::VARCHAR AS raw
FROM ranked
WHERE place > 1
