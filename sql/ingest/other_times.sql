-- One row per column of texts of the rows in `incoming` whose values are times: how many rows have one, how many different ones there are, how
-- many different times the rows have; and how many µs the time of a row is later than this one: the least, in the middle, and the most.
WITH read AS (
    SELECT _micros, field, instant(value, 'auto') AS other
    FROM (UNPIVOT incoming ON COLUMNS(* EXCLUDE (_micros)) INTO NAME field VALUE value)
    WHERE value != ''
)
SELECT
    field, count(other) AS rows, count(DISTINCT other) AS different, count(DISTINCT _micros) AS times, min(_micros - other) AS least,
    median(_micros - other) AS middle, max(_micros - other) AS most
FROM read
GROUP BY field
HAVING count(other) = count(*)
ORDER BY field
