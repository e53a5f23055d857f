-- One row per extension that is loaded: its name and the file it is loaded from.
SELECT extension_name AS name, install_path AS file
FROM duckdb_extensions()
WHERE loaded
