-- One row per element of a Parquet file's schema, each before its children: its name as the file has it, how
-- many children it has, and how many digits if it is a decimal.
-- $file VARCHAR: its path
SELECT name AS element, coalesce(num_children, 0) AS children, coalesce("precision", 0) AS digits
FROM parquet_schema($file)
