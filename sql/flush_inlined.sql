-- One row per table whose rows moved from the catalog to a file.
CALL ducklake_flush_inlined_data('lake')
