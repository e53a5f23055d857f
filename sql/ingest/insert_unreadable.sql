-- One row: how many reasons were put down for rows of a staged delivery that could not be typed.
-- $file VARCHAR: the staged delivery, a Parquet file
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
INSERT INTO quarantine BY NAME
SELECT $period AS period, $version AS version, arrival, unnest(_reasons) AS reason, _raw AS raw
FROM read_parquet($file)
WHERE _reasons IS NOT NULL
