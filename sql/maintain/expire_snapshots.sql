-- One row per snapshot that can no longer be gone back to.
-- $numbers UBIGINT[]: their numbers
CALL ducklake_expire_snapshots('lake', versions => $numbers)
