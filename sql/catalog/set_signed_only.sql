-- One row: nothing; from now on no extension is loaded whose signature is not checked.
SET allow_unsigned_extensions = false
