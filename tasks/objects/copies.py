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
from threading import Lock

from nightloop.tasks.objects.checksum import check_blob, unseal
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects, swap_or_create

log = logging.getLogger(__name__)
HASH = 32  # bytes of the SHA-256 before the compressed records


@dataclass(eq=False)
class WithCopies:
    """A store whose records are read from their copies, if they have one. It keeps what was read, for the next copies.

    Before the first copy of a night or of an entry of the log is given, the newest of its kind is compared with the store.
    If it differs, no copy is given.
    """

    objects: Objects
    key: str
    copies: Mapping[str, bytes]
    tag: str = ""  # of the object that holds the copies; empty: there is none
    used: dict[str, bytes] = field(default_factory=dict)
    _compared: set[str] = field(default_factory=set)  # kinds of records
    _lock: Lock = field(default_factory=Lock)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `Objects.read`; a copy has no tag."""
        copy = self._copy(key)
        stored = self.objects.read(key) if copy is None else (copy, "")
        if stored is not None:
            self.used[key] = stored[0]
        return stored

    def _copy(self, key: str) -> bytes | None:
        """The copy of a record that is the store's."""
        if key in self.copies and not key.startswith("blobs/"):  # a blob is named by its hash
            kind = "log" if key.split("/")[2] == "log" else "nights"
            with self._lock:
                if kind not in self._compared:
                    self._compared.add(kind)
                    if not _are_of_this_store(self.objects, self.key, kind, self.copies):
                        log.warning("%s is of another state of the store; the records are copied again", self.key)
                        self.copies = {}
        return self.copies.get(key)

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
        """Copy what was read of the pipeline's nights, log, notes and blobs. If another run did so since, its copies stay."""
        kept = {key: data for key, data in self.used.items() if _never_changes(key) and _is_intact(key, data)}
        if kept.keys() == self.copies.keys():
            return
        packed = zlib.compress(json.dumps({key: data.decode() for key, data in sorted(kept.items())}).encode())
        data = hashlib.sha256(packed).digest() + packed
        swap_or_create(self.objects, self.key, data, self.tag)


def with_copies(objects: Objects, pipeline: str, by_hash: bool = False) -> WithCopies:
    """The store, whose records of this pipeline are read from their copies. Without copies, or if they are damaged, every
    record is read by itself.

    `by_hash`: the reader knows the hash of each record, so that copies of another state of the store cannot mislead it.
    """
    key = f"pipelines/{checked_pipeline(pipeline)}/copies"
    stored = objects.read(key)
    copies: dict[str, bytes] = {}
    if stored is not None:
        digest, packed = stored[0][:HASH], stored[0][HASH:]
        if hashlib.sha256(packed).digest() == digest:
            copies = {name: text.encode() for name, text in json.loads(zlib.decompress(packed)).items()}
        else:
            log.warning("%s is damaged; the records are read one by one, and copied again", key)
    compared = {"nights", "log"} if by_hash else set()
    return WithCopies(objects, key, copies, stored[1] if stored else "", _compared=compared)


def _are_of_this_store(objects: Objects, key: str, kind: str, copies: Mapping[str, bytes]) -> bool:
    """Whether the store has the newest night, or the newest entry of the log, as it was copied.

    If so, it has those before it: a night names the one before it by its hash. If the store was restored from a backup
    that is older than the copies, or went on otherwise since then, a copy proves nothing.
    """
    newest = max((name for name in copies if name.startswith(f"{key.removesuffix('copies')}{kind}/")), default="")
    return not newest or (objects.read(newest) or (b"",))[0] == copies[newest]


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
