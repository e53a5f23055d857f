-- One row: nothing; from now on statements run on one thread.
SET threads = 1
