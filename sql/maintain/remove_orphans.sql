-- One row per file of the data place that no snapshot and no writer needs: its path. They are removed unless it is dry.
-- $before TIMESTAMPTZ: only files older than this
-- $dry BOOLEAN: whether they are only listed
CALL ducklake_delete_orphaned_files('lake', dry_run => $dry, older_than => $before)
