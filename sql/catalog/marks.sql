-- One row per mark that a catalog left in the data place: its file, the catalog in words, and since when it is there.
-- $pattern VARCHAR: a path with *
SELECT filename AS mark, trim(content, E'\r\n ') AS catalog, last_modified AS since
FROM read_text($pattern)
ORDER BY filename
