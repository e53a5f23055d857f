-- One row: nothing; defines scaled(number, unit): a time's number as µs since 1970 UTC, or null beyond the years 1 to 9999.
CREATE OR REPLACE TEMPORARY MACRO scaled(number, unit) AS (
    CASE
        WHEN unit = 's' OR unit = 'auto' AND abs(number) < 1e11
            THEN CASE WHEN abs(number) < 62135596800 THEN CAST(number * 1000000 AS BIGINT) END
        WHEN unit = 'ms' OR unit = 'auto' AND abs(number) < 1e14
            THEN CASE WHEN abs(number) < 62135596800000 THEN CAST(number * 1000 AS BIGINT) END
        WHEN unit = 'us' OR unit = 'auto' AND abs(number) < 1e17
            THEN CASE WHEN abs(number) < 62135596800000000 THEN CAST(number AS BIGINT) END
        WHEN abs(number) < 62135596800000000000 THEN CAST(floor(number / 1000) AS BIGINT)
    END
)
