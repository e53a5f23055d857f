"""Work: a call on its way to a worker, and what the worker must have in common with the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """What a worker must have in common with the run."""

    version: str
    torch: str
    store: str
    data: str

    def difference(self, other: Identity) -> str:
        """How the other differs, in words; empty: not at all."""
        values = zip(("nightloop", "torch", "the store", "the lake's data"), self, other, strict=True)
        return ", ".join(f"{name} {theirs!r} instead of {ours!r}" for name, ours, theirs in values if ours != theirs)


class Work(NamedTuple):
    """A call on its way to a worker."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    of: Identity
