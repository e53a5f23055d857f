-- One row: how many rows of `quarantine` belonged to versions that are given up.
-- $periods INTEGER[]: indexes of the periods of versions to give up
-- $versions INTEGER[]: the version of each
DELETE FROM quarantine
WHERE (period, version) IN (SELECT (unnest($periods), unnest($versions)))
