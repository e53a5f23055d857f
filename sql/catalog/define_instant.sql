-- One row: nothing; defines instant(value, unit): µs since 1970 UTC, or null where the value is no time from year 1 to 9999.
-- A unit with a % is the format that a text or a number has, as strptime knows it, whose %Y has four digits. Numbers have the unit s, ms, us, ns or days; `auto` tells
-- the first four apart by size (seconds reach 1e11, the year 5138), and takes 8, 12 and 14 digits that look like a date of 1900 to 2099,
-- 20260131 or 20260131235959, for one; the seconds of the last may have a fraction. 20260230 is no time: it is not that second of 1970.
-- Texts are ISO 8601 and forms in which month and day cannot be confused.
-- A format without a sign between its numbers, %d%m%Y, needs all digits: a number that lost a zero at its start, 1112026, is read in two ways.
-- A zone that a format has as %Z is UTC, GMT or a name such as Europe/Paris: CST, IST and BST are each of several countries. The minutes of
-- UTC+05:30 would be lost.
-- A number that was shortened to seven digits or fewer, 1.767262e+09 as C's %e writes it, is none: it is minutes or hours away from what it was.
-- So is a float of 32 bits, unless it is a whole number that such floats tell from all others. DuckDB takes 17672_61600 for a number.
-- Decimals are exact but slow to read, above all those of more than 18 digits, so that they are for fractions alone; a microsecond is less than their least fraction of a day.
CREATE OR REPLACE MACRO memory.main.instant(value, unit) AS (
    CASE
        -- What most files hold, and what follows would read in the same way, with five times the work.
        WHEN typeof(value) = 'VARCHAR' AND NOT contains(unit, '%')
                AND regexp_full_match(CAST(value AS VARCHAR), '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}([.]([0-9]{3}){1,2})?Z?')
                AND TRY_CAST(value AS TIMESTAMPTZ) IS NOT NULL
            THEN epoch_us(TRY_CAST(value AS TIMESTAMPTZ))
        WHEN typeof(value) = 'VARCHAR' AND strlen(CAST(value AS VARCHAR)) > 1000 THEN NULL
        WHEN contains(unit, '%Y') AND typeof(value) = 'VARCHAR' AND NOT regexp_matches(CAST(value AS VARCHAR), '[0-9]{4}') THEN NULL
        WHEN contains(unit, '%') AND regexp_matches(unit, '^(%[YymdHMS])+$') AND typeof(value) <> 'DATE' AND NOT starts_with(typeof(value), 'TIMESTAMP')
                AND strlen(split_part(trim(CAST(value AS VARCHAR)), '.', 1)) <> strlen(unit) + CASE WHEN contains(unit, '%Y') THEN 2 ELSE 0 END
            THEN NULL
        WHEN contains(unit, '%Z') AND typeof(value) = 'VARCHAR' AND (NOT regexp_matches(CAST(value AS VARCHAR), '\b(UTC|GMT|Z)\b|[A-Za-z]/[A-Z]')
                OR regexp_matches(CAST(value AS VARCHAR), 'UTC[+-][0-9]{1,2}:?[0-9]{2}'))
            THEN NULL
        WHEN contains(unit, '%') AND typeof(value) <> 'DATE' AND NOT starts_with(typeof(value), 'TIMESTAMP')
            THEN epoch_us(coalesce(
                try_strptime(trim(CAST(value AS VARCHAR)), unit),
                try_strptime(regexp_extract(trim(CAST(value AS VARCHAR)), '^([0-9]+)[.]0+$', 1), unit)
            )::TIMESTAMPTZ)
        WHEN typeof(value) = 'VARCHAR' AND (contains(CAST(value AS VARCHAR), ':') OR strpos(CAST(value AS VARCHAR), '-') > 1)
            THEN spelt(trim(CAST(value AS VARCHAR)))
        WHEN typeof(value) = 'VARCHAR' AND contains(CAST(value AS VARCHAR), '_') THEN NULL
        WHEN typeof(value) = 'FLOAT' AND NOT (abs(TRY_CAST(value AS DOUBLE)) < 16777216 AND TRY_CAST(value AS DOUBLE) = floor(TRY_CAST(value AS DOUBLE)))
            THEN NULL
        WHEN typeof(value) = 'VARCHAR' AND contains(CAST(value AS VARCHAR), '+')
                AND regexp_matches(trim(CAST(value AS VARCHAR)), '^[0-9]([.][0-9]{1,6})?[eE][+][0-9]+$')
            THEN NULL
        WHEN typeof(value) <> 'TIMESTAMP WITH TIME ZONE' AND (starts_with(typeof(value), 'TIMESTAMP') OR typeof(value) = 'DATE')
            THEN scaled(epoch_us(TRY_CAST(value AS TIMESTAMP)), 'us')
        WHEN unit = 'auto' AND (typeof(value) = 'VARCHAR' AND contains(CAST(value AS VARCHAR), '.') OR typeof(value) = 'DOUBLE' OR starts_with(typeof(value), 'DECIMAL'))
                AND TRY_CAST(value AS DOUBLE) BETWEEN 1e13 AND 1e14
                AND written_date(TRY_CAST(split_part(trim(CAST(value AS VARCHAR)), '.', 1) AS BIGINT)) IS NOT NULL
            THEN epoch_us(written_date(TRY_CAST(split_part(trim(CAST(value AS VARCHAR)), '.', 1) AS BIGINT)))
                + CAST(1000000 * TRY_CAST('0.' || split_part(trim(CAST(value AS VARCHAR)), '.', 2) AS DOUBLE) AS BIGINT)
        WHEN unit = 'auto' AND (TRY_CAST(value AS DOUBLE) BETWEEN 19000101 AND 20991231 OR TRY_CAST(value AS DOUBLE) BETWEEN 190001010000 AND 209912312359
                OR TRY_CAST(value AS DOUBLE) BETWEEN 19000101000000 AND 20991231235959)
            THEN CASE WHEN TRY_CAST(value AS DOUBLE) = floor(TRY_CAST(value AS DOUBLE)) THEN epoch_us(written_date(TRY_CAST(value AS BIGINT))) END
        WHEN unit <> 'text' AND TRY_CAST(value AS DOUBLE) = floor(TRY_CAST(value AS DOUBLE))
            THEN scaled(TRY_CAST(value AS BIGINT), unit)
        WHEN unit = 'days' AND isfinite(TRY_CAST(value AS DOUBLE))
            THEN scaled(TRY_CAST(value AS DOUBLE), unit)
        WHEN unit <> 'text' AND isfinite(TRY_CAST(value AS DOUBLE))
            THEN scaled(coalesce(TRY_CAST(value AS DECIMAL(18, 6)), TRY_CAST(value AS DECIMAL(28, 6))), unit)
        WHEN typeof(value) = 'TIMESTAMP WITH TIME ZONE' THEN scaled(epoch_us(TRY_CAST(value AS TIMESTAMPTZ)), 'us')
        ELSE spelt(trim(CAST(value AS VARCHAR)))
    END
)
