"""Taken items: what every user took up to the close of a night, so that the service can leave it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.modules.checkpoint import from_bytes, to_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.record.manifest import TakenPart

BITS = 32  # of a pair's number that are the item's row


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


def add_taken_items(objects: Objects, parts: Sequence[TakenPart], pairs: Tensor) -> tuple[TakenPart, ...]:
    """The parts with the (user, item) rows [n, 2] of a night added.

    A night writes its own pairs, and joins earlier parts that are no more than twice as large to them. So there are few
    parts, a pair is written again as often as the history doubles, and a night does not write the whole history.
    """
    earlier = list(parts)
    numbers = torch.unique((pairs[:, 0].long() << BITS) + pairs[:, 1].long())
    while earlier and earlier[-1].pairs <= 2 * len(numbers):
        numbers = torch.unique(torch.cat([numbers, _read_part(objects, earlier.pop())]))
    if not len(numbers):
        return tuple(earlier)
    return *earlier, TakenPart(blob=blobs.put(objects, to_bytes({"pairs": numbers})), pairs=len(numbers))


def load_taken_items(objects: Objects, parts: Sequence[TakenPart], users: int) -> TakenItems:
    """What users took, from all parts of a night. Raises DataError if there is a user that the vocabulary lacks."""
    numbers = torch.unique(
        torch.cat([torch.zeros(0, dtype=torch.int64), *(_read_part(objects, part) for part in parts)])
    )
    user = numbers >> BITS
    if len(user) and int(user[-1]) >= users:
        raise DataError(
            f"taken items of user {int(user[-1])}, {users} users in the vocabulary: they are of different nights"
        )
    start = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(user, minlength=users).cumsum(0)])
    return TakenItems(start, (numbers & (2**BITS - 1)).int())


def _read_part(objects: Objects, part: TakenPart) -> Tensor:
    return from_bytes(blobs.get(objects, part.blob))["pairs"]
