-- One row per file that a pattern names, on disk or on S3, by name.
-- $pattern VARCHAR: a path that may hold * ? [ ]
SELECT file
FROM glob($pattern)
ORDER BY file
