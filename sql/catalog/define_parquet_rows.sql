-- One row: nothing; defines parquet_rows(files, json): the rows of Parquet files, with the texts and numbers of JSON columns as they are in
-- columns of text, without quotes. `json` names these columns, and `_json`: a list of no column is an error to DuckDB.
CREATE OR REPLACE MACRO memory.main.parquet_rows(files, json) AS TABLE
SELECT
    COLUMNS(lambda name: NOT list_contains(json, name)),
    plain_json(COLUMNS(lambda name: list_contains(json, name)))
FROM (
    SELECT *, NULL AS _none, NULL::JSON AS _json
    FROM read_parquet(files, union_by_name = true, hive_partitioning = false)
)
