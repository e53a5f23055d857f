"""Blobs: bytes named by their SHA-256, written once, and verified before they are parsed."""

from __future__ import annotations

import hashlib
import logging
import re
import time

from nightloop.tasks.objects import trash
from nightloop.tasks.objects.checksum import check_blob
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed
from nightloop.tasks.objects.retry import PAUSES
from nightloop.tasks.plan.errors import DataError

log = logging.getLogger(__name__)


def blob_key(sha: str) -> str:
    """The object's key. Raises DataError if `sha` is not a SHA-256 in lower-case hex."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha):
        raise DataError(f"{sha[:80]!r} is not a SHA-256; a blob is named by 64 lower-case hex digits")
    return f"blobs/{sha}"


def put(objects: Objects, data: bytes) -> str:
    """Store the bytes and return their name. A blob that exists already is not written again.

    An existing blob is read back, and replaced if it is damaged. Raises TimeoutError if the store says that the key exists
    and does not return it.
    """
    sha = hashlib.sha256(data).hexdigest()
    key = blob_key(sha)
    for pause in PAUSES:
        time.sleep(pause)
        if objects.create(key, data):
            return sha
        stored = objects.read(key)
        if stored is not None and stored[0] == data:
            return sha
        if stored is not None:  # None: swept a moment ago, or a stale read; create it again
            log.warning("%s was damaged (%d bytes, not %d); written again", key, len(stored[0]), len(data))
            objects.swap(key, data, stored[1])
    raise TimeoutError(
        f"the store says that {key} exists and does not return it; a store must read its own writes. Run again later"
    )


def get(objects: Objects, sha: str) -> bytes:
    """The bytes of this name. A blob that a sweep moved to the trash is restored.

    Raises FileNotFoundError if it is absent, with the time and the reason of its removal, and DataError if its bytes were
    changed.
    """
    key = blob_key(sha)
    try:
        found = read_parsed(objects, key, lambda data: check_blob(key, data))
    except ValueError:
        found = trash.restore_removal(objects, key, lambda data: check_blob(key, data))
        if found is None:
            raise
        put(objects, found)
    if found is None:
        found = trash.restore_removal(objects, key, lambda data: check_blob(key, data))
    if found is None:
        raise FileNotFoundError(
            f"{key} is not in the store{trash.removal_in_words(objects, key)}; run again what needs it"
        )
    return found
