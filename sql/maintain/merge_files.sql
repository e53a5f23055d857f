-- One row per table whose small files were merged into larger ones.
CALL ducklake_merge_adjacent_files('lake')
