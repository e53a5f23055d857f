"""Objects: the one door to stored bytes, a flat map from key to bytes with conditional writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Objects(Protocol):
    """A store. Keys are `a/b/c` of letters, digits, `-_.=+` ; a key that could leave the store is a ValueError."""

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The bytes and the tag (ETag) of this very state, or None where there is no such key."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write where nothing is (`If-None-Match: *`); False where something is already."""
        ...

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        """Replace the state that has this tag (`If-Match`); False where the state is another by now."""
        ...

    def remove(self, key: str) -> None:
        """Forget a key; no error where it is not there."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin so, for sweeping only: a listing is never asked what is true."""
        ...
