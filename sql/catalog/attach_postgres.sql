-- One row: nothing; opens the pipeline's catalog in PostgreSQL as `lake`. Quoted words are filled in: ATTACH takes no parameters.
-- $catalog VARCHAR: ducklake:postgres:<connection string>
-- $data VARCHAR: directory or s3:// prefix of the Parquet files
-- $pipeline VARCHAR: schema of this pipeline's catalog
ATTACH '$catalog' AS lake (DATA_PATH '$data', OVERRIDE_DATA_PATH true, METADATA_SCHEMA '$pipeline')
