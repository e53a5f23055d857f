-- One row: nothing; makes an empty list of marks, in place of the last delivery's.
CREATE OR REPLACE TEMPORARY TABLE suspects (_mark UBIGINT)
