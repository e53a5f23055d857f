-- One row: how many different users and items the landed rows have.
SELECT count(DISTINCT "user") AS users, count(DISTINCT item) AS items
FROM landed
