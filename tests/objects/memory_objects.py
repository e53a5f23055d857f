"""Memory: a store in a dict, with the semantics of S3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.key_names import checked_key, checked_prefix


@dataclass(frozen=True, eq=False)
class Memory:
    held: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def fresh(cls) -> Memory:
        """A new store, as `open_objects` makes one: it has a complete record of its pipelines."""
        store = cls()
        pipelines.begin_record(store)
        return store

    def read(self, key: str) -> tuple[bytes, str] | None:
        data = self.held.get(checked_key(key))
        return None if data is None else (data, hashlib.md5(data).hexdigest())

    def create(self, key: str, data: bytes) -> bool:
        if checked_key(key) in self.held:
            return False
        self.held[key] = data
        return True

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        found = self.read(key)
        if found is None or found[1] != tag:
            return False
        self.held[key] = data
        return True

    def remove(self, key: str) -> None:
        self.held.pop(checked_key(key), None)

    def keys(self, prefix: str) -> Iterator[str]:
        checked_prefix(prefix)
        yield from sorted(key for key in self.held if key.startswith(prefix))
