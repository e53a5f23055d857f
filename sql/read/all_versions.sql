-- One row per version of each period: the digest of all rows that landed as it. It has no parameters, for which DuckDB imports pandas.
SELECT period, version, digest
FROM collected
ORDER BY period, version
