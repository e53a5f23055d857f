"""Fixtures that several rooms' tests share."""

from tests.s3_servers import moto, moto_store_url, rclone, rclone_store_url

__all__ = ["moto", "moto_store_url", "rclone", "rclone_store_url"]
