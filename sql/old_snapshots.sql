-- One row: the numbers of all snapshots of the catalog but the newest.
SELECT coalesce(list(snapshot_id ORDER BY snapshot_id) FILTER (snapshot_id < newest), []) AS numbers
FROM (SELECT snapshot_id, max(snapshot_id) OVER () AS newest FROM ducklake_snapshots('lake'))
