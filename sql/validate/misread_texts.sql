-- One row per text column in which clean rows of one version of a period have a value that was read in another encoding than it was written
-- in: how many rows, and the least such value. The signs: a control character U+0080 to U+009F, which are letters of cp1252 and bytes of
-- most other encodings; an escape, with which ISO 2022 changes alphabets; and the letters that UTF-8 becomes in latin-1 and cp1252.
-- $columns VARCHAR[]: names of the columns in the lake
WITH clean AS (
    SELECT COLUMNS(lambda name: list_contains($columns, name))
    FROM clean_rows
),
counted AS (
    SELECT field, value, count(*) AS rows
    FROM (UNPIVOT clean ON COLUMNS(*) INTO NAME field VALUE value)
    WHERE strlen(value) > length(value) OR contains(value, chr(27))
    GROUP BY field, value
)
SELECT field, sum(rows)::DOUBLE AS rows, min(value) AS value
FROM counted
WHERE contains(value, chr(27)) OR regexp_matches(value, '[\x{80}-\x{9f}]|[ÂÃ][\x{a0}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€')
GROUP BY field
ORDER BY field
