-- One row: nothing; an empty database has the lake's name, so that statements run as in the lake.
ATTACH ':memory:' AS lake
