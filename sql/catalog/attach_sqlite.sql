-- One row: nothing; opens the pipeline's catalog in SQLite as `lake`. Quoted words are filled in: ATTACH takes no parameters.
-- $catalog VARCHAR: ducklake:sqlite:<file>
-- $data VARCHAR: directory or s3:// prefix of the Parquet files
ATTACH '$catalog' AS lake (
    DATA_PATH '$data', OVERRIDE_DATA_PATH true, META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 10000
)
