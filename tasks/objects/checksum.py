"""Checksum: a second line with the SHA-256 of the first, which detects a record that was changed or cut off."""

from __future__ import annotations

import hashlib

from nightloop.tasks.plan.errors import DataError


def seal(data: bytes) -> bytes:
    """One line of JSON with its checksum line. Any JSON-lines tool can read both."""
    return b'%s\n{"sha256":"%s"}\n' % (data, hashlib.sha256(data).hexdigest().encode())


_LENGTH = len(seal(b""))


def unseal(key: str, sealed: bytes) -> bytes:
    """The sealed bytes. Raises DataError naming the key if the checksum does not match."""
    data = sealed[:-_LENGTH]
    if seal(data) != sealed:
        raise DataError(
            f"{key} ({len(sealed)} bytes) was changed or cut off: its SHA-256 is not the one it was sealed with"
        )
    return data


def check_blob(key: str, data: bytes) -> bytes:
    """The bytes of the blob `blobs/<SHA-256>`. Raises DataError naming the key if they have another hash."""
    if hashlib.sha256(data).hexdigest() != key.removeprefix("blobs/"):
        raise DataError(
            f"{key} ({len(data)} bytes) was changed or cut off: its SHA-256 is a different one. It is not used"
        )
    return data
