-- One row per file that was removed because no snapshot needs it.
CALL ducklake_cleanup_old_files('lake', cleanup_all => true)
