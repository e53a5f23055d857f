"""Negative sampling: items that a user is not known to like, drawn uniformly from those seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

ROUNDS = 100  # draws before a user counts as having taken everything
SPREAD = 0x1E3779B97F4A7C15  # Knuth's multiplicative hashing, 2**64 / golden ratio, made to fit a signed integer


@dataclass(frozen=True)
class Positives:
    """The positives of some logs, with a bitmap of their hashes that answers most membership tests with one read."""

    items: int
    keys: Tensor  # [m] int64 ascending: user * items + item
    bitmap: Tensor  # [2**k] bool by hash: False means surely not a positive

    def __contains__(self, pair: tuple[int, int]) -> bool:
        key = pair[0] * self.items + pair[1]
        return bool((self.keys == key).any())

    def find(self, users: Tensor, items: Tensor) -> Tensor:
        """Positions [h] at which (users, items) [n] is a known positive."""
        keys = users * self.items + items
        possible = self.bitmap.index_select(0, _slot(keys, len(self.bitmap))).nonzero().flatten()
        candidates = keys[possible]
        nearest = torch.searchsorted(self.keys, candidates).clamp_(max=len(self.keys) - 1)
        return possible[self.keys[nearest] == candidates]


def index_positives(users: Tensor, items: Tensor, size: int) -> Positives:
    """The positives (users, items) [n] int64, of a catalogue of `size` items."""
    keys = torch.from_numpy(np.sort((users * size + items).numpy()))
    bitmap = torch.zeros(1 << min(max(4 * len(keys), 2).bit_length() + 1, 28), dtype=torch.bool)
    bitmap[_slot(keys, len(bitmap))] = True
    return Positives(size, keys, bitmap)


def draw(
    positives: Positives, users: Tensor, generator: Generator, pool: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """One negative a user: items [n] int64, and which are real ([n] bool, None: all).

    Uniform over the catalogue, or over the items of a `pool` [q] (all: None), without the user's known positives. A
    user who has taken (nearly) everything may get none.
    """

    def sample_items(count: int) -> Tensor:
        if pool is None:
            return torch.randint(positives.items, (count,), generator=generator)
        return pool[torch.randint(len(pool), (count,), generator=generator)]

    items = sample_items(len(users))
    rejected = positives.find(users, items)
    for _ in range(ROUNDS):
        if not len(rejected):
            return items, None
        redrawn = sample_items(len(rejected))
        items[rejected] = redrawn
        rejected = rejected[positives.find(users[rejected], redrawn)]
    real = torch.ones(len(users), dtype=torch.bool)
    real[rejected] = False
    return items, real


def _slot(keys: Tensor, slots: int) -> Tensor:
    """The position of each key in a bitmap of `slots` bits (a power of two)."""
    return ((keys * SPREAD) >> (64 - slots.bit_length())) & (slots - 1)
