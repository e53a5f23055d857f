-- One row per version of a period: what landed, under which rules, in which columns (a JSON list).
CREATE TABLE IF NOT EXISTS lake.collected (
    period INTEGER, version INTEGER, digest VARCHAR, rules VARCHAR, rows BIGINT, columns VARCHAR
)
