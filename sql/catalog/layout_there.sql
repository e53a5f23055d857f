-- One row: the name of the table `layout`, where it is there; none in a new catalog.
SELECT table_name
FROM (SHOW TABLES FROM lake) AS shown(table_name)
WHERE table_name = 'layout'
