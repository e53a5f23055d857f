-- One row: the layout that the catalog's tables have.
SELECT format FROM layout
