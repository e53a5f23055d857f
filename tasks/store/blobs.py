"""Blobs: bytes named by their SHA-256, written once, checked before anybody parses them."""

from __future__ import annotations

import hashlib
import logging
import re

from tasks.store.objects import Objects

log = logging.getLogger(__name__)


def key_of(sha: str) -> str:
    """The object's key. Raises ValueError where `sha` is no SHA-256 in lower-case hex."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha):
        raise ValueError(f"{sha[:80]!r} is no SHA-256; a blob is named by 64 lower-case hex digits")
    return f"blobs/{sha}"


def put(objects: Objects, data: bytes) -> str:
    """Store the bytes and return their name; what is there already is not written again.

    What stands under the name is read back: a damaged file is mended, for only these bytes may stand there.
    """
    sha = hashlib.sha256(data).hexdigest()
    while not objects.create(key_of(sha), data):
        found = objects.read(key_of(sha))
        if found is not None and found[0] == data:
            return sha
        if found is not None:  # None: swept a moment ago, create it again
            log.warning("%s was damaged (%d bytes, not %d); written again", key_of(sha), len(found[0]), len(data))
            objects.swap(key_of(sha), data, found[1])
    return sha


def get(objects: Objects, sha: str) -> bytes:
    """The bytes of this name. Raises FileNotFoundError where it is absent, ValueError where it was changed."""
    found = objects.read(key_of(sha))
    if found is None:
        raise FileNotFoundError(f"{key_of(sha)} is not in the store; `nightloop doctor` says which nights need it")
    if hashlib.sha256(found[0]).hexdigest() != sha:
        size = len(found[0])
        raise ValueError(f"{key_of(sha)} ({size} bytes) was changed or cut off: its SHA-256 is another; not parsed")
    return found[0]
