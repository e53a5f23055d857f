-- One row: nothing; statements use at most so many threads.
-- $value INTEGER
SET threads = $value
