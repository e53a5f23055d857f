-- One row: how many rows were deleted: the one that was inserted when the table was made.
DELETE FROM lake.quarantine WHERE period IS NULL
