-- One row per period: its newest version.
SELECT period, max(version) AS version
FROM collected
GROUP BY period
ORDER BY period
