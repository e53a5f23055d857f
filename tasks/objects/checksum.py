"""Checksum: a second line with the SHA-256 of the first, which detects a record that was changed or cut off."""

from __future__ import annotations

import hashlib
import re

from nightloop.tasks.plan.errors import DataError


def seal(data: bytes) -> bytes:
    """One line of JSON with its checksum line. Any JSON-lines tool can read both."""
    return b'%s\n{"sha256":"%s"}\n' % (data, hashlib.sha256(data).hexdigest().encode())


_LENGTH = len(seal(b""))
ROWS = re.compile(r"pipelines/[^/]+/serving/labelled/.+-([0-9a-f]{16})\.jsonl")  # copies of rows that a service wrote


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


def short_hash(data: bytes) -> str:
    """The first 16 digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def check_rows(key: str, data: bytes) -> bytes:
    """The bytes of a copy of labelled rows (`ROWS`). Raises DataError if they have another hash than its key says."""
    named = ROWS.fullmatch(key)
    if named is None or short_hash(data) != named[1]:
        raise DataError(f"{key} ({len(data)} bytes) was changed or cut off: its hash is not that of its name")
    return data
