-- One row: how many rows were copied. From now on `some_rows` are every n-th of the `clean_rows` by its arrival, a copy in memory.
-- $most BIGINT: about how many; between this and twice as many of a larger version
CREATE OR REPLACE TABLE memory.main.some_rows AS
SELECT *
FROM clean_rows
WHERE arrival % (SELECT greatest(count(*) // $most, 1) FROM clean_rows) = 0
