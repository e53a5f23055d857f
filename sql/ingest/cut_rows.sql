-- One row: how many rows of a staged delivery were written: those of one period of equal counts, in order, counted anew.
-- Ids are ordered by length, then by their bytes, so that numbers written as text keep their order.
-- $file VARCHAR: the staged delivery, a Parquet file
-- $part VARCHAR: the Parquet file to write
-- $skip BIGINT: rows of the periods before it
-- $rows BIGINT: rows of the period
COPY (
    WITH taken AS (
        SELECT *
        FROM read_parquet($file)
        ORDER BY time NULLS LAST, length("user"), "user", length(item), item, arrival
        LIMIT $rows OFFSET $skip
    )
    SELECT * REPLACE (
        row_number() OVER (ORDER BY time NULLS LAST, length("user"), "user", length(item), item, arrival) - 1 AS arrival
    )
    FROM taken
) TO $part (FORMAT parquet)
