-- One row: how many rows a staged delivery has, and the sum of their hashes, which is the same in any order.
-- $file VARCHAR: the staged delivery, a Parquet file
WITH content AS (
    SELECT * EXCLUDE (arrival, _reasons, _key, _line, _mark)
    FROM read_parquet($file)
)
SELECT count(*) AS rows, coalesce(sum(md5_number_lower(to_json(content)::VARCHAR)), 0)::VARCHAR AS total
FROM content
