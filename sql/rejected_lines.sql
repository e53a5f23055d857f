-- One row per line that read_delimited could not take apart: where it is, what is wrong with it, and its text.
SELECT file_path AS file, line, error_type::VARCHAR AS error, error_message AS message, csv_line AS text
FROM rejects
JOIN reject_scans USING (scan_id, file_id)
ORDER BY file_path, line
