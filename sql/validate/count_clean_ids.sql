-- One row: how many rows were made. From now on `clean_ids` are the users and items of `clean_rows`: which of the two, the id, its rows, and
-- the arrival of its first row.
CREATE OR REPLACE TABLE memory.main.clean_ids AS
WITH clean AS (
    SELECT "user", item, arrival
    FROM clean_rows
)
SELECT role, id, count(*) AS rows, min(arrival) AS first
FROM (UNPIVOT clean ON "user", item INTO NAME role VALUE id)
GROUP BY role, id
