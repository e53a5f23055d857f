"""Fixtures that several rooms' tests share."""

import os

# Before torch is imported: threads that wait by spinning stop each other where tests run side by side.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.s3_servers import moto, moto_store_url, rclone, rclone_store_url

__all__ = ["moto", "moto_store_url", "rclone", "rclone_store_url"]
