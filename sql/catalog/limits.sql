-- One row: the memory and the threads that this database may use.
SELECT current_setting('memory_limit') AS memory_limit, current_setting('threads') AS threads
