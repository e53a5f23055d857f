-- One row: nothing; names without a catalog are the lake's.
USE lake
