-- One row: whether this connection loads extensions that nobody signed.
SELECT current_setting('allow_unsigned_extensions')
