-- One row: how many rows of `landed` belonged to versions that are given up.
-- $periods INTEGER[]: indexes of the periods of versions to give up
-- $versions INTEGER[]: the version of each
DELETE FROM landed
WHERE (period, version) IN (SELECT (unnest($periods), unnest($versions)))
