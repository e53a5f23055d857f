"""Copies: records that never change, together in one object, so that a reader does not fetch each of them.

A record that is in the copies was read and verified once. What must find damage, or decides what is deleted, reads the
records themselves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nightloop.tasks.objects.checksum import check_blob, unseal
from nightloop.tasks.objects.keys import checked_pipeline
from nightloop.tasks.objects.objects import Objects

log = logging.getLogger(__name__)
HASH = 32  # bytes of the SHA-256 before the compressed records


@dataclass(eq=False)
class WithCopies:
    """A store whose records are read from their copies, if they have one. It keeps what was read, for the next copies."""

    objects: Objects
    key: str
    copies: Mapping[str, bytes]
    used: dict[str, bytes] = field(default_factory=dict)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `Objects.read`; a copy has no tag."""
        copy = self.copies.get(key)
        stored = self.objects.read(key) if copy is None else (copy, "")
        if stored is not None:
            self.used[key] = stored[0]
        return stored

    def create(self, key: str, data: bytes) -> bool:
        """As `Objects.create`."""
        return self.objects.create(key, data)

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        """As `Objects.swap`."""
        return self.objects.swap(key, data, tag)

    def remove(self, key: str) -> None:
        """As `Objects.remove`."""
        self.objects.remove(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """As `Objects.keys`."""
        return self.objects.keys(prefix)

    def save(self) -> None:
        """Copy what was read of the pipeline's nights, log, notes and blobs. Another run may save its own at the same time."""
        kept = {key: data for key, data in self.used.items() if _never_changes(key) and _is_intact(key, data)}
        if kept.keys() == self.copies.keys():
            return
        packed = zlib.compress(json.dumps({key: data.decode() for key, data in sorted(kept.items())}).encode())
        data, stored = hashlib.sha256(packed).digest() + packed, self.objects.read(self.key)
        if stored is None:
            self.objects.create(self.key, data)
        else:
            self.objects.swap(self.key, data, stored[1])


def with_copies(objects: Objects, pipeline: str) -> WithCopies:
    """The store, whose records of this pipeline are read from their copies. Without copies, or if they are damaged, every
    record is read by itself."""
    key = f"pipelines/{checked_pipeline(pipeline)}/copies"
    stored = objects.read(key)
    copies: dict[str, bytes] = {}
    if stored is not None:
        digest, packed = stored[0][:HASH], stored[0][HASH:]
        if hashlib.sha256(packed).digest() == digest:
            copies = {name: text.encode() for name, text in json.loads(zlib.decompress(packed)).items()}
        else:
            log.warning("%s is damaged; the records are read one by one, and copied again", key)
    if not _are_of_this_store(objects, pipeline, copies):
        log.warning("%s is of another state of the store, which was restored; the records are copied again", key)
        copies = {}
    return WithCopies(objects, key, copies)


def _are_of_this_store(objects: Objects, pipeline: str, copies: Mapping[str, bytes]) -> bool:
    """Whether the store has the newest night and the newest entry of the log as they were copied.

    If so, it has those before them: a night names the one before it by its hash. If the store was restored from a backup
    that is older than the copies, or went on otherwise since then, a copy proves nothing.
    """
    for kind in ("nights", "log"):
        newest = max((key for key in copies if key.startswith(f"pipelines/{pipeline}/{kind}/")), default="")
        if newest and (objects.read(newest) or (b"",))[0] != copies[newest]:
            return False
    return True


def _never_changes(key: str) -> bool:
    """Whether what is stored under this key is never replaced: a night, an entry of the log, a note, a blob."""
    parts = key.split("/")
    return parts[0] == "blobs" or (len(parts) > 3 and parts[2] in ("nights", "log", "notes"))


def _is_intact(key: str, data: bytes) -> bool:
    try:
        check_blob(key, data) if key.startswith("blobs/") else unseal(key, data)
        data.decode()
    except ValueError:
        return False
    return True
