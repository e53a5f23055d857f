-- One row: how many rows of a staged delivery were put aside because their key was there before.
-- Of rows with one key the first in time stays, and of those at one time the first that arrived. Only rows whose mark is
-- in `suspects` are compared.
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
    SEMI JOIN suspects USING (_mark)
),
ranked AS (
    SELECT arrival, row_number() OVER (PARTITION BY _key, who, what, moment ORDER BY time, arrival) AS place
    FROM usable
)
SELECT $period AS period, $version AS version, arrival, 'duplicate' AS reason, NULL::VARCHAR AS raw
FROM ranked
WHERE place > 1
