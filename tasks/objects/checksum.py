"""Seal: a second line with the SHA-256 of the first, so that a record that was changed or cut off is noticed."""

from __future__ import annotations

import hashlib

from nightloop.tasks.plan.errors import DataError


def seal(data: bytes) -> bytes:
    """One line of JSON, sealed: still readable by any JSON-lines tool."""
    return b'%s\n{"sha256":"%s"}\n' % (data, hashlib.sha256(data).hexdigest().encode())


_LENGTH = len(seal(b""))


def unseal(key: str, sealed: bytes) -> bytes:
    """What was sealed. Raises DataError naming the key where the seal is broken."""
    data = sealed[:-_LENGTH]
    if seal(data) != sealed:
        raise DataError(
            f"{key} ({len(sealed)} bytes) was changed or cut off: its SHA-256 is not the one it was sealed with"
        )
    return data
