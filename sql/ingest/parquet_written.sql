-- One row per file that has one: the schema of Arrow that its writer kept in it, in base64.
-- $file VARCHAR: its path
SELECT decode(value) AS written
FROM parquet_kv_metadata($file)
WHERE key = 'ARROW:schema'::BLOB
