-- One row per column of `landed`: its name and type.
SELECT column_name AS name, column_type AS type
FROM (DESCRIBE landed)
