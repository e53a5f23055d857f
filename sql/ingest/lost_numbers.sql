-- One row: the statement that asks PostgreSQL for a column whose numbers DuckDB would read as 0: NaN and infinity, in a column NUMERIC. It
-- finds one row if there is such a column: its name, and one of these numbers. In columns of floats they are read as what they are.
-- $name VARCHAR: the table's name in the database, quoted
-- $columns VARCHAR[]: the columns that may be NUMERIC
-- $time VARCHAR: the column that says which rows are asked for; empty: all are
-- $since VARCHAR: the first of its values
-- $until VARCHAR: the first value that is too late
WITH named AS (
    SELECT plain, '"' || replace(plain, '"', '""') || '"' AS name
    FROM (SELECT UNNEST($columns::VARCHAR[]) AS plain)
),
lost AS (
    SELECT plain, name, format('pg_typeof({0}) NOT IN (''real''::regtype, ''double precision''::regtype) AND {0}::text IN (''NaN'', ''Infinity'', ''-Infinity'')', name) AS found
    FROM named
)
SELECT
    format(
        'SELECT CASE {} END AS name, CASE {} END AS number FROM {} WHERE ({}) {} LIMIT 1',
        string_agg(format('WHEN {} THEN ''{}''', found, replace(plain, '''', '''''')), ' '),
        string_agg(format('WHEN {} THEN {}::text', found, name), ' '),
        $name, string_agg(found, ' OR '),
        CASE WHEN $time <> '' THEN format('AND "{0}" >= ''{1}'' AND "{0}" < ''{2}''', replace($time, '"', '""'), $since, $until) ELSE '' END
    ) AS statement
FROM lost
