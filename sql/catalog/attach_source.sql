-- One row: nothing; opens a database that logs are read from. Quoted words are filled in: ATTACH takes no parameters.
-- $place VARCHAR: a file, or a connection string without a password
-- $name VARCHAR: what statements call the database
-- $kind VARCHAR: postgres, mysql, sqlite or duckdb
ATTACH IF NOT EXISTS '$place' AS "$name" (TYPE '$kind', READ_ONLY)
