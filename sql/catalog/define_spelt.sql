-- One row: nothing; defines spelt(text): µs since 1970 UTC of a time in one of the forms that ISO 8601 and usual data sets have, or
-- null. In none of them can month and day be confused. Without an offset a time is in UTC. A year has four digits: those of two
-- digits would be read as of the first century. Where a number has a zero before it, a single digit at the end was cut off from the other.
-- 10:23:45,1000 is 10:23:46 from a program that rounds milliseconds on their own, and not a tenth of a second.
CREATE OR REPLACE MACRO memory.main.spelt(text) AS (
    CASE WHEN regexp_matches(text, ':[0-9]{2}[.,]1000$') THEN NULL
        WHEN text[-2] = ':' AND regexp_matches(text, '[-/ T:]0[0-9][-/ T:]') THEN NULL
        WHEN regexp_matches(text, '(^|[^0-9+-]|[^ ]-)[0-9]{4}') THEN epoch_us(coalesce(
        -- it fails at years of more than four digits, takes abbreviations of zones for those of any country, and any offset
        CASE WHEN text[5] IN ('-', '/')
                AND NOT regexp_matches(replace(replace(text, ' UTC', ''), ' GMT', ''), ' \(?[A-Za-z]{2,5}\)?$|:[0-9.]+ ?[+-](1[6-9]|[2-9][0-9])')
            -- a name of a zone would also be that of the rows after it which have none, so that rows with names are cast on their own
            -- UTC+05:30 would be read as UTC+05
            THEN CASE WHEN regexp_matches(text, '[A-SU-Ya-su-y]')
                THEN TRY_CAST(regexp_replace(regexp_replace(text, 'UTC([+-])([0-9](:[0-9]{2})?)$', 'UTC\10\2'), '( ?UTC)+([+-])', '\2') AS TIMESTAMPTZ)
                -- behind a T or a fraction, a blank before the offset would hinder it
                ELSE coalesce(TRY_CAST(text AS TIMESTAMPTZ), TRY_CAST(regexp_replace(text, '(:[0-9.]+) ([+-][0-9]|Z$)', '\1\2') AS TIMESTAMPTZ))
            END
        END,
        try_strptime(text, [
            '%m/%d/%Y %I:%M:%S %p', '%m/%d/%Y %I:%M %p', '%Y%m%dT%H%M%S', '%Y%m%dT%H%M%SZ', '%Y%m%d %H%M%S', '%Y%m%d %H:%M:%S', '%Y%m%d',
            '%Y.%m.%d %H:%M:%S', '%Y-%m-%dT%H:%M:%S,%f', '%Y-%m-%dT%H:%M:%S,%fZ', '%Y-%m-%d %H:%M:%S,%f', '%Y-%m-%d %I:%M:%S %p',
            '%Y-%m-%d %I:%M %p', '%Y-%m-%dT%H', '%Y-%m-%d %H', '%d %b %Y %H:%M:%S', '%d %b %Y', '%d-%b-%Y %H:%M:%S', '%d-%b-%Y',
            '%b %d, %Y %I:%M:%S %p', '%b %d, %Y', '%B %d, %Y', '%a %b %d %H:%M:%S %Y', '%b %d %Y %H:%M:%S', '%a, %d %b %Y %H:%M:%S GMT',
            '%a, %d %b %Y %H:%M:%S UTC', '%a %b %d %H:%M:%S UTC %Y', '%a %b %d %H:%M:%S GMT %Y', '%Y-%m-%dT%H:%MZ', '%Y-%m-%dT%H:%M:%Sz'
        ])::TIMESTAMPTZ,
        CASE WHEN NOT regexp_matches(text, '(:[0-9]{2}|T[0-9]{6}) ?[+-](1[6-9]|[2-9][0-9])') THEN try_strptime(text, [
            '%Y%m%dT%H%M%S%z', '%Y-%m-%d %H:%M:%S %z', '%a %b %d %H:%M:%S %z %Y', '%a, %d %b %Y %H:%M:%S %z', '%d/%b/%Y:%H:%M:%S %z',
            '%Y-%m-%dT%H:%M%z', '%Y-%m-%d %H:%M%z', '%Y-%m-%d %H:%M:%S %z UTC'
        ]) END
    )) END
)
