-- One row: nothing; names without a catalog are the lake's, then those of the macros.
SET search_path = 'lake.main,memory.main'
