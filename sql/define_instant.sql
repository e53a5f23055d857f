-- One row: nothing; defines instant(value, unit): µs since 1970 UTC, or null where the value is no time from year 1 to 9999.
-- Numbers have the unit s, ms, us or ns; `auto` tells them apart by size (seconds reach 1e11, the year 5138).
-- Decimals are exact but slow to read, so that they are for fractions alone.
CREATE OR REPLACE TEMPORARY MACRO instant(value, unit) AS (
    CASE
        WHEN unit <> 'text' AND TRY_CAST(value AS DOUBLE) = floor(TRY_CAST(value AS DOUBLE))
            THEN scaled(TRY_CAST(value AS BIGINT), unit)
        WHEN unit <> 'text' AND isfinite(TRY_CAST(value AS DOUBLE))
            THEN scaled(TRY_CAST(value AS DECIMAL(28, 6)), unit)
        WHEN isfinite(TRY_CAST(value AS TIMESTAMPTZ)) THEN epoch_us(TRY_CAST(value AS TIMESTAMPTZ))
    END
)
