-- One row: of each column of these files, how many values are not null, counted by reading them.
-- $files VARCHAR[]: Parquet files of one lake
SELECT count(COLUMNS(*))
FROM read_parquet($files, union_by_name => TRUE)
