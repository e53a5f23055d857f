"""Clock: the time of the store, so that leases of several machines use one clock."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from nightloop.tasks.objects.objects import S3, Directory, Objects
from nightloop.tasks.plan.errors import StoreError


def store_time(objects: Objects) -> float:
    """Seconds since 1970 by the store's own clock: that of the file system, or of the S3 server (its header Date)."""
    if isinstance(objects, Directory):
        return objects.file_time()
    if isinstance(objects, S3):
        date = objects.answer_date()
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:
            raise StoreError(f"the S3 server's answer has no time in its header Date ({date[:80]!r})") from None
    raise TypeError(f"{type(objects).__name__} has no clock")
