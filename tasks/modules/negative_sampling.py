"""Negative sampling: items that a user is not known to like, drawn uniformly from those seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from nightloop.tasks.modules.threads import ThreadPool

if TYPE_CHECKING:
    from nightloop.tasks.kernels.pair_index import PairIndex

PART = 1 << 15  # pairs that a thread looks up at once
ROUNDS = 100  # draws before a user counts as having taken everything
SPREAD = 0x1E3779B97F4A7C15  # Knuth's multiplicative hashing, 2**64 / golden ratio, made to fit a signed integer


@dataclass(frozen=True)
class Positives:
    """The positives of some logs, with a bitmap of their hashes that answers most membership tests with one read."""

    items: int
    keys: Tensor  # [m] int64 ascending: user * items + item
    bitmap: Tensor  # [2**k] bool by hash: False means surely not a positive

    def find(self, users: Tensor, items: Tensor) -> Tensor:
        """Positions [h] at which (users, items) [n] is a known positive."""
        keys = users * self.items + items
        possible = self.bitmap.index_select(0, _slot(keys, len(self.bitmap))).nonzero().flatten()
        candidates = keys[possible]
        nearest = torch.searchsorted(self.keys, candidates).clamp_(max=len(self.keys) - 1)
        return possible[self.keys[nearest] == candidates]


@dataclass(frozen=True)
class CompiledPositives:
    """The same as `Positives`, found by compiled code: several times as fast, and made without sorting."""

    items: int
    index: PairIndex
    threads: ThreadPool

    def find(self, users: Tensor, items: Tensor) -> Tensor:
        """Positions [h] at which (users, items) [n] is a known positive."""
        from nightloop.tasks.kernels.pair_index import find_known  # numba is imported only here

        def find_part(first: int) -> Tensor:
            part = slice(first, first + PART)
            asked = users[part].numpy(), items[part].numpy()
            found = np.empty(len(asked[0]) + 1, dtype=np.int64)
            return torch.from_numpy(found[: find_known(*asked, self.index, found)]).add_(first)

        return torch.cat([torch.zeros(0, dtype=torch.int64), *self.threads.map(find_part, range(0, len(users), PART))])


def index_positives(
    users: Tensor, items: Tensor, size: int, threads: ThreadPool | None = None
) -> Positives | CompiledPositives:
    """The positives (users, items) [n] int64, of a catalogue of `size` items. `threads`: those of compiled code, if the
    index is for compiled code."""
    if threads is not None and len(users):
        return _compiled_index(users.contiguous(), items.contiguous(), size, threads)
    keys = torch.from_numpy(np.sort((users * size + items).numpy()))
    bitmap = torch.zeros(1 << min(max(4 * len(keys), 2).bit_length() + 1, 28), dtype=torch.bool)
    bitmap[_slot(keys, len(bitmap))] = True
    return Positives(size, keys, bitmap)


def _compiled_index(users: Tensor, items: Tensor, size: int, threads: ThreadPool) -> CompiledPositives:
    from nightloop.tasks.kernels.pair_index import PairIndex, fill_bits, fill_lists  # numba is imported only here

    exponent = min((len(users) // 8 + 1).bit_length(), 28)  # 8 bits a pair or more, 2 GB at most
    starts, of_user = np.zeros(int(users.max()) + 3, dtype=np.int64), np.empty(len(users), dtype=np.int32)
    index = PairIndex(size, starts, of_user, np.zeros(1 << exponent, dtype=np.uint64), np.uint64(64 - exponent))
    threads.map(lambda fill: fill(users.numpy(), items.numpy(), index), (fill_lists, fill_bits))
    return CompiledPositives(size, index, threads)


def draw(
    positives: Positives | CompiledPositives,
    users: Tensor,
    generator: Generator,
    pool: Tensor | None = None,
    count: int = 1,
) -> tuple[Tensor, Tensor | None]:
    """`count` negatives a user: items [n, count] int64, and which are real ([n, count] bool, None: all).

    Uniform over the catalogue, or over the items of a `pool` [q] (all: None), without the user's known positives. A
    user who has taken (nearly) everything may get none.
    """
    users = users if count == 1 else users.repeat_interleave(count)

    def sample_items(count: int) -> Tensor:
        if pool is None:
            return torch.randint(positives.items, (count,), generator=generator)
        return pool[torch.randint(len(pool), (count,), generator=generator)]

    items = sample_items(len(users))
    rejected = positives.find(users, items)
    for _ in range(ROUNDS):
        if not len(rejected):
            return items.view(-1, count), None
        redrawn = sample_items(len(rejected))
        items[rejected] = redrawn
        rejected = rejected[positives.find(users[rejected], redrawn)]
    real = torch.ones(len(users), dtype=torch.bool)
    real[rejected] = False
    return items.view(-1, count), real.view(-1, count)


def _slot(keys: Tensor, slots: int) -> Tensor:
    """The position of each key in a bitmap of `slots` bits (a power of two)."""
    return ((keys * SPREAD) >> (64 - slots.bit_length())) & (slots - 1)
