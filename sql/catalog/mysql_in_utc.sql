-- One row: nothing; times of MySQL's TIMESTAMP columns are in UTC, not in the zone of its server. Set before a database is opened.
SET GLOBAL mysql_session_time_zone = '+00:00'
