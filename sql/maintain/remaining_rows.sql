-- One row: how many rows are left in the tables from which versions were deleted, counted by reading their files.
SELECT
    (SELECT count(arrival) FROM quarantine) AS reasons,
    (SELECT count(digest) FROM collected) AS versions
