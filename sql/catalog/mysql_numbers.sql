-- One row: nothing; a TINYINT(1) of MySQL is a number: 5 is not true. Set before a database is opened.
SET GLOBAL mysql_tinyint1_as_boolean = false
