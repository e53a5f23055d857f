-- One row: nothing; defines scaled(number, unit): a time's number as µs since 1970 UTC, or null beyond the years 1 to 9999.
CREATE OR REPLACE MACRO memory.main.scaled(number, unit) AS (
    CASE
        WHEN unit = 's' OR unit = 'auto' AND number BETWEEN -1e11 AND 1e11
            THEN CASE WHEN number BETWEEN -62135596800 AND 253402300799 THEN CAST(number * 1000000 AS BIGINT) END
        WHEN unit = 'ms' OR unit = 'auto' AND number BETWEEN -1e14 AND 1e14
            THEN CASE WHEN number BETWEEN -62135596800000 AND 253402300799999 THEN CAST(number * 1000 AS BIGINT) END
        WHEN unit = 'us' OR unit = 'auto' AND number BETWEEN -1e17 AND 1e17
            THEN CASE WHEN number BETWEEN -62135596800000000 AND 253402300799999999 THEN CAST(number AS BIGINT) END
        WHEN unit = 'days'
            THEN CASE WHEN number BETWEEN -719162 AND 2932896 THEN CAST(number * 86400000000 AS BIGINT) END
        ELSE TRY_CAST(number AS BIGINT) // 1000
    END
)
