-- One row: the file that an extension is loaded from.
-- $name VARCHAR: its name
SELECT install_path AS file
FROM duckdb_extensions()
WHERE extension_name = $name
