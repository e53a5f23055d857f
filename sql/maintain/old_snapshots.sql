-- One row: the numbers of all snapshots of the catalog that are older than a time, but the newest.
-- $before TIMESTAMPTZ: only snapshots older than this
SELECT coalesce(list(snapshot_id ORDER BY snapshot_id) FILTER (snapshot_id < newest AND snapshot_time < $before), []) AS numbers
FROM (SELECT snapshot_id, snapshot_time, max(snapshot_id) OVER () AS newest FROM ducklake_snapshots('lake'))
