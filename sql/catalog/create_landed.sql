-- One row per row of a delivery, typed, in one version of a period; the plan's own columns are added beside these.
CREATE TABLE IF NOT EXISTS lake.landed (
    period INTEGER,
    version INTEGER,
    arrival BIGINT,
    time TIMESTAMPTZ,
    "user" VARCHAR,
    item VARCHAR,
    label DOUBLE
)
