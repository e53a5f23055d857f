-- One row per reason for which a landed row is put aside; `raw` is the row as it came where it could not be typed, as JSON.
CREATE TABLE IF NOT EXISTS lake.quarantine (period INTEGER, version INTEGER, arrival BIGINT, reason VARCHAR, raw VARCHAR)
