"""Objects: bytes with conditional writes, on a local disk or on S3; retries, checksums, leases, trash."""
