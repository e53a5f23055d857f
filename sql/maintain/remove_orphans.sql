-- One row per file that was removed because no writer ever finished it.
-- $before TIMESTAMPTZ: only files older than this
CALL ducklake_delete_orphaned_files('lake', older_than => $before)
