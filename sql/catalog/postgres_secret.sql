-- One row: whether the secret was made with which DuckDB logs in to PostgreSQL in this process. The quoted word is filled in.
-- $password VARCHAR: password of the catalog's user
CREATE OR REPLACE TEMPORARY SECRET (TYPE postgres, PASSWORD '$password')
