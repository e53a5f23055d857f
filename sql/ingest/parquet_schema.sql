-- One row per element of a Parquet file's schema, each before its children: its name as the file has it, and how many children it has.
-- $file VARCHAR: its path
SELECT name AS element, coalesce(num_children, 0) AS children
FROM parquet_schema($file)
