-- One row: the statement that reads a table of a database. In SQLite each value has a type of its own, whatever type its column was declared
-- with, so that all of them are read as texts: of a time with an offset in a column TIMESTAMP the offset would be lost, and of one in a column
-- DATE the time of day. Floats keep all their digits, and bytes are hexadecimal.
-- $kind VARCHAR: postgres, mysql, sqlite or duckdb
-- $table VARCHAR: the table's full name, quoted
-- $database VARCHAR: the name of the database, as it was attached
-- $name VARCHAR: the table's name in the database, quoted
WITH named AS (
    SELECT replace(column_name, '"', '""') AS name
    FROM (DESCRIBE SELECT * FROM query_table($table))
),
read AS (
    SELECT 'SELECT ' || string_agg(format(
        'CASE typeof("{0}") WHEN ''real'' THEN printf(''%!.17g'', "{0}") WHEN ''blob'' THEN lower(hex("{0}")) ELSE "{0}" || '''' END AS "{0}"', name
    ), ', ') || ' FROM ' || $name AS statement
    FROM named
)
SELECT CASE WHEN $kind = 'sqlite' THEN format('FROM sqlite_query(''{}'', ''{}'')', $database, replace(statement, '''', '''''')) ELSE 'FROM ' || $table END AS rows
FROM read
