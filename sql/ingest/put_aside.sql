-- One row: how many reasons were put down that were not there already.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
INSERT INTO quarantine BY NAME
SELECT DISTINCT $period AS period, $version AS version, incoming.arrival, incoming.reason
FROM incoming
ANTI JOIN (
    FROM quarantine
    WHERE period = $period AND version = $version
) AS known ON incoming.arrival = known.arrival AND incoming.reason = known.reason
