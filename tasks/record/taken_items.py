"""Taken items: what every user took up to the close of a night, so that the service can leave it out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nightloop.tasks.modules.checkpoint import from_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import DataError


@dataclass(frozen=True)
class TakenItems:
    """User u took `item[start[u]]` to `item[start[u + 1] - 1]`, each once."""

    start: Tensor  # [U + 1] int64
    item: Tensor  # [n] int32

    def of(self, user: int) -> list[int]:
        """The item rows that a user took; none of an unknown user."""
        if not 0 <= user < len(self.start) - 1:
            return []
        first, last = self.start[user : user + 2].tolist()
        rows: list[int] = self.item[first:last].tolist()
        return rows


def load_taken_items(objects: Objects, blob: str, users: int) -> TakenItems:
    """What `load_logs.store_taken_items` wrote. Raises DataError if it is of another vocabulary."""
    tensors = from_bytes(blobs.get(objects, blob))
    if len(tensors["start"]) != users + 1:
        raise DataError(
            f"taken items of {len(tensors['start']) - 1} users, {users} in the vocabulary: they are of different nights"
        )
    return TakenItems(tensors["start"], tensors["item"])
