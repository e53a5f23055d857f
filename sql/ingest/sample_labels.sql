-- One row per label among the landed rows: how many have it; the twenty most frequent.
SELECT label, count(*) AS rows
FROM landed
WHERE label IS NOT NULL
GROUP BY label
ORDER BY rows DESC, label
LIMIT 20
