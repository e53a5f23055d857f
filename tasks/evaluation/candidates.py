"""Candidates: which items a row's positive is ranked against: drawn uniformly from those that were seen and not taken by then.

They do not depend on the model, so they are drawn once a period and shared by all checkpoints that are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Generator, Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Ranking

BLOCK = 128  # most rows that share a pool of items; more is faster, fewer makes rows less dependent
POOLS = 128  # fewest pools of a night, unless fewer than 8 rows would share one
CHUNK = 8192  # items of the catalogue that are scored at a time
SCORES = 1 << 26  # of one period and checkpoint, at most, if a sample of rows is ranked against the catalogue: a second


class ItemSampler(Protocol):
    """Draws items at random."""

    @property
    def items(self) -> int:
        """How many items there are."""

    def sample(self, pool: Tensor, size: int) -> Tensor:
        """The pool and as many more distinct items as make it `size`, at most `items`."""


@dataclass(frozen=True)
class CandidateBlock:
    """What a block of B rows is ranked against: the first `cut[b]` items of the pool, without the excluded ones."""

    rows: slice
    pool: Tensor  # [P] int64
    cut: Tensor  # [B] int64
    row: Tensor  # [found] int64: in the block
    place: Tensor  # [found] int64: in the pool; the item there does not stand against that row


@dataclass(frozen=True)
class Candidates:
    """The candidates of one period's rows: items drawn at random and, for all rows or some, the whole catalogue."""

    logs: Logs
    block: int  # rows of one pool
    sampled: list[CandidateBlock]
    catalogue: list[CandidateBlock] | None


def sample_candidates(logs: Logs, taken: Tensor, ranking: Ranking) -> Candidates:
    """The candidates of every row of a period, drawn uniformly.

    Each row gets `ranking.negatives` distinct items, of those seen so far that its user has not taken up to and
    including the row (with `ranking.repeats`: all but the row's own); all of them, if there are fewer. The draw is that
    of `logs.generator`, the same for every strategy.

    Parameters
    ----------
    logs : Logs
        n rows of one period.
    taken : Tensor
        [m, 2] user and item rows of earlier interactions.
    ranking : Ranking
        The plan's: `negatives`, `repeats`, and `catalogue`: whether rows are ranked against all those items as well.

    Returns
    -------
    Candidates
        For `rank`.

    Raises
    ------
    DataError
        Earlier interactions name items outside the vocabulary.

    References
    ----------
    Zhang et al. 2020, SML, the protocol.

    Examples
    --------
    Five candidates for each row: a scorer that scores everything equally ties with all of them.

    >>> import torch
    >>> from nightloop.tasks.evaluation.candidates import sample_candidates
    >>> from nightloop.tasks.evaluation.rank import from_factors, rank
    >>> from nightloop.tasks.plan.plan import Ranking
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> before, logs = simulated_periods("ranking")[3:]
    >>> candidates = sample_candidates(logs.since(4), before.rows, Ranking(negatives=5))
    >>> rank(from_factors(torch.zeros(1, 2), torch.zeros(1, 2)), candidates)["equal"].double().mean().item()
    5.0
    """
    return sample_blocks(logs, taken, ranking, lambda items: UniformSampler(items, logs.generator("candidates")))


def sample_blocks(
    logs: Logs, taken: Tensor, ranking: Ranking, make_sampler: Callable[[int], ItemSampler]
) -> Candidates:
    """Candidates for blocks of rows, from the sampler that `make_sampler` makes for the number of items seen."""
    takers, limits = item_users(logs, taken, ranking.repeats), items_seen(logs)
    sampler = make_sampler(int(limits[-1]) if len(logs) else 0)
    size = min(max(len(logs) // POOLS, 8), BLOCK)
    blocks = [slice(i, min(i + size, len(logs))) for i in range(0, len(logs), size)]
    sampled = [_sample_block(logs, takers, limits, rows, ranking.negatives, sampler) for rows in blocks]
    if not ranking.catalogue:
        return Candidates(logs, size, sampled, None)
    ranked = blocks if ranking.catalogue is True else _spread_blocks(blocks, size * sampler.items)
    whole = [block for rows in ranked for block in _catalogue(logs, takers, limits, rows)]
    return Candidates(logs, size, sampled, whole)


def _spread_blocks(blocks: Sequence[slice], scores: int) -> list[slice]:
    """As many blocks as `SCORES` allows if each has so many scores, at least one, spread evenly over the period."""
    many = min(len(blocks), max(SCORES // max(scores, 1), 1))
    return [blocks[place * len(blocks) // many] for place in range(many)]


def _sample_block(
    logs: Logs,
    takers: ItemUsers,
    limits: Tensor,
    rows: slice,
    negatives: int,
    sampler: ItemSampler,
) -> CandidateBlock:
    """A block of rows and its pool of random items; each row takes the first valid ones."""
    share = int(limits[rows][0]) / sampler.items  # share of all items that existed at the block's first row
    pool_size = int((negatives * 1.05 + 24) / share) // 64 * 64 + 64  # with a reserve for items that users have taken
    pool = sampler.sample(torch.zeros(0, dtype=torch.int64), min(sampler.items, pool_size))
    while True:
        block, short = _make_block(logs, takers, limits, rows, pool, negatives)
        if not short or len(pool) == sampler.items:
            return block
        pool = sampler.sample(pool, min(sampler.items, 2 * len(pool)))  # the next items of the same random order


def _catalogue(logs: Logs, takers: ItemUsers, limits: Tensor, rows: slice) -> Iterator[CandidateBlock]:
    """Every item that was seen and not taken, a part at a time."""
    items = int(limits[rows][-1])
    for first in range(0, items, CHUNK):
        pool = torch.arange(first, min(first + CHUNK, items))
        yield _make_block(logs, takers, limits, rows, pool, len(pool))[0]


def _make_block(
    logs: Logs, takers: ItemUsers, limits: Tensor, rows: slice, pool: Tensor, negatives: int
) -> tuple[CandidateBlock, bool]:
    """Each row's first `negatives` valid items of the pool, and whether any row found fewer."""
    users = logs.rows[rows, 0]
    row, position = excluded_pairs(takers, pool, users, limits[rows], rows.start)
    count = torch.bincount(row, minlength=len(users))
    nth = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    cut = torch.full((len(users),), min(negatives, len(pool)))
    cut.index_add_(0, row, (position - nth < negatives).long())  # one more item for each excluded one
    return CandidateBlock(rows, pool, cut.clamp(max=len(pool)), row, position), bool((cut > len(pool)).any())


@dataclass(frozen=True)
class ItemUsers:
    """The users that took each item, and when: entries `start[i]` to `start[i + 1]` are those of item i."""

    start: Tensor  # [items + 1] int64
    user: Tensor  # [m] int32: half the bytes to read
    when: Tensor  # [m] int64: the row of the logs that took it; -1: before the logs began
    users: int  # every user is below it
    repeats: bool = False  # whether a user takes an item again: then only the row's own item is excluded

    def of(self, pool: Tensor, users: Tensor) -> tuple[Tensor, Tensor]:
        """Interactions of any of `users` with the pool's items: (position in the pool, entry), each [found]."""
        begin = self.start.index_select(0, pool)
        count = self.start.index_select(0, pool + 1) - begin
        ends = count.cumsum(0)
        entry = torch.repeat_interleave(begin - (ends - count), count)
        entry += torch.arange(len(entry))
        is_user = torch.zeros(self.users, dtype=torch.bool)
        is_user[users] = True
        hits = is_user.index_select(0, self.user.index_select(0, entry)).nonzero().flatten()  # a few per cent
        return torch.searchsorted(ends, hits, right=True), entry[hits]


def item_users(logs: Logs, taken: Tensor, repeats: bool = False) -> ItemUsers:
    """Earlier interactions (`taken` [m, 2] user and item rows) and those of the logs; with `repeats` only those of the logs."""
    items = logs.sizes[1]
    if len(taken) and (int(taken.min()) < 0 or int(taken[:, 1].max()) >= items):
        raise DataError(f"earlier interactions name rows outside the {items} items known in period {logs.period}")
    taken = taken[:0] if repeats else taken
    user = torch.cat([taken[:, 0].long(), logs.rows[:, 0]])
    item = torch.cat([taken[:, 1].long(), logs.rows[:, 1]])
    when = torch.cat([torch.full((len(taken),), -1), torch.arange(len(logs))])
    order = torch.argsort(item)
    start = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(item, minlength=items).cumsum(0)])
    return ItemUsers(start, user[order].int(), when[order], int(user.max()) + 1 if len(user) else 0, repeats)


def items_seen(logs: Logs) -> Tensor:
    """Number of items seen up to and including each row, [n] int64: the vocabulary rows below it. It never falls.

    Vocabulary rows are given in order of first sight. An item was seen if it was born in an earlier period, or if an
    item of the same or a higher row came before.
    """
    if not len(logs):
        return torch.zeros(0, dtype=torch.int64)
    before = torch.searchsorted(logs.born[1], logs.periods.to(logs.born[1].dtype))
    return torch.maximum(before, logs.rows[:, 1].cummax(0).values + 1)


def excluded_pairs(takers: ItemUsers, pool: Tensor, users: Tensor, limits: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Which items of the pool a row is not ranked against: (row in the block, position in the pool), each [found].

    `users` and `limits` [B] are the user and the number of items seen of rows `first`, `first + 1`, ... of the logs.
    Pairs come in order, once each: items not yet seen, and items that the user has taken up to and including that row;
    if users take items again, the row's own item alone.
    """
    position, entry = takers.of(pool, users)
    distinct_users, slot = torch.unique(users, return_inverse=True)
    at, when = torch.searchsorted(distinct_users, takers.user[entry].long()), takers.when[entry]
    rows_of = torch.argsort(slot, stable=True)  # rows of the block, user by user
    count = torch.bincount(slot, minlength=len(distinct_users))
    begin = count.cumsum(0) - count
    pair = torch.repeat_interleave(count[at])
    offset = torch.arange(len(pair)) - (count[at].cumsum(0) - count[at])[pair]
    row = rows_of[begin[at][pair] + offset]
    taken = when[pair] == row + first if takers.repeats else when[pair] <= row + first
    not_yet = (pool >= limits[0]).nonzero().flatten()  # limits never fall: the others were seen by all rows
    late_row, late = (pool[not_yet] >= limits[:, None]).nonzero(as_tuple=True)
    key = torch.cat([row[taken] * len(pool) + position[pair][taken], late_row * len(pool) + not_yet[late]])
    key = torch.unique(key)
    return key // len(pool), key % len(pool)


@dataclass
class UniformSampler:
    """Draws items in random order, each of [0, items) once before any comes again.

    What is drawn for one block of rows is exactly uniform. Blocks are less alike than if each had a draw of its own,
    which removes most of the random error of the draw from a night's mean.

    Parameters
    ----------
    items : int
        How many items there are.
    generator : torch.Generator
        Where the order is drawn from.
    left : Tensor, default empty
        Items of the present order that were not drawn yet.

    Examples
    --------
    Two draws of two items out of four have all of them.

    >>> import torch
    >>> from nightloop.tasks.evaluation.candidates import UniformSampler
    >>> sampler, nothing = UniformSampler(4, torch.Generator().manual_seed(0)), torch.zeros(0, dtype=torch.int64)
    >>> sorted(sampler.sample(nothing, 2).tolist() + sampler.sample(nothing, 2).tolist())
    [0, 1, 2, 3]
    """

    items: int
    generator: Generator
    left: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def sample(self, pool: Tensor, size: int) -> Tensor:
        """The pool and as many more distinct items as make it `size`, at most `items`, in random order."""
        while len(pool) < size:
            if not len(self.left):
                self.left = torch.randperm(self.items, generator=self.generator)
            missing = size - len(pool)
            taken, self.left = self.left[:missing], self.left[missing:]
            pool = _drop_repeats(torch.cat([pool, taken])) if len(pool) else taken
        return pool


def _drop_repeats(values: Tensor) -> Tensor:
    """The values without repeats, in order of first appearance."""
    ordered, index = torch.sort(values, stable=True)
    keep = torch.ones(len(values), dtype=torch.bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return values[index[keep].sort().values]
