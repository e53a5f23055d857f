-- One row: how many rows landed in all versions of all periods; NULL in a new lake.
SELECT sum(rows)::BIGINT AS rows
FROM collected
