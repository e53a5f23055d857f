-- One row: how many rows were written to the mark that a catalog leaves in the data place.
-- $mark VARCHAR: the file to write
-- $catalog VARCHAR: the catalog in words
COPY (SELECT $catalog AS catalog) TO $mark (FORMAT csv, HEADER false, QUOTE '', DELIMITER '\x01')
