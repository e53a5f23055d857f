-- One row per user or item role of the clean rows of one version of a period: the most characters that an id has, how many ids have so many,
-- how many different lengths the ids have that are at most 30 characters shorter, how many ids have the most frequent of these lengths, the
-- least of the longest ids; how many ids are numbers with a sign between thousands, 1.234 or 1'234, in how many lengths they begin, counting
-- whole numbers of three digits or fewer as one, how many ids are other numbers of four digits or more, and the least id with such a sign.
WITH sized AS (
    SELECT role, length(id) AS size, count(*) AS ids, min(id) AS id
    FROM clean_ids
    GROUP BY role, size
),
longest AS (
    SELECT role, max(size) AS longest, arg_max(ids, size) AS cut, arg_max(id, size) AS one_cut
    FROM sized
    GROUP BY role
),
shorter AS (
    SELECT role, count(*) AS lengths, max(ids) AS most
    FROM sized JOIN longest USING (role)
    WHERE size BETWEEN longest - 30 AND longest - 1
    GROUP BY role
),
judged AS (
    SELECT
        role, id, regexp_full_match(id, '[0-9]{1,3}') AS small,
        regexp_full_match(id, '[1-9][0-9]{0,2}(?:[.][0-9]{3})+|[1-9][0-9]{0,2}(?:[''’][0-9]{3})+') AS parted
    FROM clean_ids
    WHERE id[1] BETWEEN '0' AND '9'
),
numbers AS (
    SELECT
        role, count(*) FILTER (parted) AS parted, count(*) FILTER (NOT parted AND NOT small) AS others, min(id) FILTER (parted) AS one_parted,
        count(DISTINCT CASE WHEN small THEN 0 ELSE length(regexp_extract(id, '^[0-9]+')) END) FILTER (small OR parted) AS starts
    FROM judged
    WHERE small OR parted OR regexp_full_match(id, '[0-9]{4,}|[0-9]+[.][0-9]+')
    GROUP BY role
)
SELECT role, longest, cut, one_cut, coalesce(lengths, 0) AS lengths, coalesce(most, 0) AS most, coalesce(parted, 0)::DOUBLE AS parted,
    coalesce(starts, 0) AS starts, coalesce(others, 0) AS others, one_parted
FROM longest LEFT JOIN shorter USING (role) LEFT JOIN numbers USING (role)
ORDER BY role
