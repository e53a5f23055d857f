-- One row: how many versions were put on record: one.
-- $period INTEGER: index of the period
-- $version INTEGER: the version
-- $digest VARCHAR: of its rows, whatever their order
-- $rules VARCHAR: hash of what decides which rows are clean
-- $rows BIGINT: how many rows arrived
-- $columns VARCHAR: names of the columns that the digest speaks of, a JSON list
INSERT INTO collected BY NAME
SELECT $period AS period, $version AS version, $digest AS digest, $rules AS rules, $rows AS rows, $columns AS columns
