-- One row per row of one version of a period whose time is the name of the column of times: its text, in JSON, with the names of columns in
-- the lake; the first hundred.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $time VARCHAR: the name of the column of times
SELECT raw
FROM quarantine
WHERE period = $period AND version = $version AND reason = 'unreadable_time' AND raw ->> '$.time' = $time
ORDER BY arrival
LIMIT 100
