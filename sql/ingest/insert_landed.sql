-- One row: how many rows of a staged delivery went into the lake.
-- $file VARCHAR: the staged delivery, a Parquet file
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
INSERT INTO landed BY NAME
SELECT $period AS period, $version AS version, * EXCLUDE (_reasons, _raw, _key, _line, _mark) REPLACE (make_timestamptz(time) AS time)
FROM read_parquet($file)
