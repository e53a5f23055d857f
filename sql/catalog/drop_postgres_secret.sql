-- One row: whether the secret of the catalog is gone. DuckDB would send it to every other PostgreSQL server that is opened.
DROP TEMPORARY SECRET IF EXISTS __default_postgres
