-- One row: nothing; from now on statements and views read and write nothing but the databases that are attached: no other file, no
-- network, no extension. This cannot be taken back.
SET enable_external_access = false
