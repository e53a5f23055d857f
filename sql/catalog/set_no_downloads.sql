-- One row: nothing; no statement fetches an extension from the network by itself.
SET autoinstall_known_extensions = false
