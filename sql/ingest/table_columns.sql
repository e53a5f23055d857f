-- One row per column of a database's table: its name and type.
-- $table VARCHAR: its full name, quoted
SELECT column_name AS name, column_type AS type
FROM (DESCRIBE SELECT * FROM query_table($table))
