-- One row per Parquet file in the data place of a lake: its path.
-- $pattern VARCHAR: a path with *
SELECT file
FROM glob($pattern)
ORDER BY file
