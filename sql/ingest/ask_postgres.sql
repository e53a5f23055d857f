-- One row per row that a statement finds in PostgreSQL.
-- $database VARCHAR: the name of the database, as it was attached
-- $statement VARCHAR: the statement, as PostgreSQL knows it
FROM postgres_query($database, $statement)
