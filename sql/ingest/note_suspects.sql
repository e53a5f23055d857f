-- One row: how many marks of keys were noted that more than one row of a staged delivery has.
-- Marks are looked at one part after another, so that memory does not grow with the delivery.
-- $file VARCHAR: the staged delivery, a Parquet file
-- $part UBIGINT: which part of the marks
-- $parts UBIGINT: how many parts there are
INSERT INTO suspects
SELECT _mark
FROM read_parquet($file)
WHERE _mark % $parts::UBIGINT = $part::UBIGINT
GROUP BY _mark
HAVING count(*) > 1
