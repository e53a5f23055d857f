-- One row: nothing; times without a zone are UTC.
SET TimeZone = 'UTC'
