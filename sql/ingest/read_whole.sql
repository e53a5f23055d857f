-- One row: all bytes of one file.
-- $file VARCHAR: its path
SELECT content
FROM read_blob($file)
