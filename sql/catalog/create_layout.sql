-- One row: the number of these tables' layout, and how often something was written: two writers cannot both change it.
-- $format INTEGER: the layout that this release writes
CREATE TABLE IF NOT EXISTS lake.layout AS SELECT $format::INTEGER AS format, 0::BIGINT AS writes
