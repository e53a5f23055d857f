-- One row: nothing; defines wide_bytes(value): the bytes of a text, a list or the like; 0 for a number or a time, which are short.
CREATE OR REPLACE MACRO memory.main.wide_bytes(value) AS (
    CASE WHEN typeof(value) IN ('VARCHAR', 'JSON', 'BLOB') OR contains(typeof(value), '[') OR contains(typeof(value), '(')
        AND NOT starts_with(typeof(value), 'DECIMAL') THEN strlen(CAST(value AS VARCHAR)) ELSE 0 END
)
