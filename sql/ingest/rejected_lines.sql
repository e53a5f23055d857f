-- One row per line that could not be taken apart: where it is, the gravest thing wrong with it, and its text.
-- DuckDB tells of a line once for each column that is missing.
SELECT DISTINCT ON (file_path, line) file_path AS file, line, error_type::VARCHAR AS error, error_message AS message, csv_line AS text
FROM rejects
JOIN reject_scans USING (scan_id, file_id)
ORDER BY file_path, line, error_type NOT IN ('INVALID ENCODING', 'UNQUOTED VALUE'), error_message
