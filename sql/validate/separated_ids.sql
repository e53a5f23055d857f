-- One row per user or item role of the clean rows of one version of a period in which ids are others without the blanks, hyphens, points,
-- underscores, slashes and brackets inside them: how many such pairs, how many ids in all, and the first pair. Decimal numbers and UUIDs are
-- left out, and pairs of a short number: product 123 and variant 3 of product 12 are such.
WITH parted AS (
    SELECT role, id, regexp_replace(id, '[ ()/_.-]+', '', 'g') AS plain
    FROM clean_ids
    WHERE regexp_matches(id, '[^ ()/_.-][ ()/_.-]+[^ ()/_.-]') AND id_kind(id) NOT IN ('decimal_number', 'uuid')
)
SELECT
    parted.role, count(*)::DOUBLE AS pairs, (SELECT count(*) FROM clean_ids WHERE role = parted.role)::DOUBLE AS ids,
    min(parted.id) AS parted, arg_min(clean_ids.id, parted.id) AS plain
FROM parted JOIN clean_ids ON clean_ids.role = parted.role AND clean_ids.id = parted.plain
WHERE NOT regexp_full_match(plain, '[0-9]{1,6}')
GROUP BY parted.role
ORDER BY parted.role
