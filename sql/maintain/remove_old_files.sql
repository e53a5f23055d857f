-- One row per file that was removed because no snapshot has needed it since some time.
-- $before TIMESTAMPTZ: only files that no snapshot has needed since before this
CALL ducklake_cleanup_old_files('lake', older_than => $before)
