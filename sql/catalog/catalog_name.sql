-- One row: a name that no other catalog has, but a copy of this one.
SELECT table_uuid::VARCHAR AS name
FROM ducklake_table_info('lake')
WHERE table_name = 'landed'
