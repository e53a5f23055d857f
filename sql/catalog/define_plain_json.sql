-- One row: nothing; defines plain_json(value): a JSON text without its quotes, a decimal with all digits that it is written with.
CREATE OR REPLACE MACRO memory.main.plain_json(value) AS (
    CASE
        WHEN regexp_matches(CAST(value AS VARCHAR), '^ *-?[0-9]+[.][0-9]+ *$') THEN CAST(value AS VARCHAR)
        ELSE json_extract_string(value, '$')
    END
)
