"""Candidates: which items a row's positive is ranked against, of those that were seen and not taken by then.

Uniform, as nights deal them, or in proportion to how often items were taken, so that being liked by all is of no use.

They do not depend on who ranks them, so they are dealt once a period and shared by every checkpoint that is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.exclusions import ItemUsers, excluded_pairs, seen, takers
from nightloop.tasks.plan.plan import Ranking

BLOCK = 128  # rows that share a pool of items at most; more is faster, fewer makes rows less alike
POOLS = 128  # pools of a night at least, as long as 8 rows share one
CHUNK = 8192  # items of the catalogue that are scored at a time


@dataclass(frozen=True)
class CandidateBlock:
    """What a block of B rows is ranked against: of the pool's items the first `cut[b]`, without those barred."""

    rows: slice
    pool: Tensor  # [P] int64
    cut: Tensor  # [B] int64
    row: Tensor  # [found] int64: in the block
    place: Tensor  # [found] int64: in the pool; the item there does not stand against that row


@dataclass(frozen=True)
class Candidates:
    """The hands of one period's rows: against items drawn at random, and against the whole catalogue if asked for."""

    logs: Logs
    block: int  # rows of one pool
    sampled: list[CandidateBlock]
    catalogue: list[CandidateBlock] | None


def sample_candidates(logs: Logs, taken: Tensor, ranking: Ranking) -> Candidates:
    """The candidates of every row of `logs`.

    `taken` [m, 2] are (user, item) rows of earlier periods. Each row gets `ranking.negatives` distinct items drawn
    uniformly from those seen so far that its user has not taken up to and including the row (all of them, where there
    are fewer), and with `ranking.catalogue` all of those too. The draw is the logs' own. Raises ValueError for earlier
    interactions outside the vocabulary. Source: SML's protocol.
    """
    return _dealt(logs, taken, ranking, lambda items: UniformSampler(items, logs.generator("candidates")))


def deal_popular(logs: Logs, taken: Tensor, ranking: Ranking) -> Candidates:
    """As `deal`, but drawn one after another in proportion to how often an item is in `taken`.

    Being liked by all is then of little use: what stands against an item is liked by all as well. Items that nobody had
    taken before come last.
    """
    generator = logs.generator("candidates/popular")
    return _dealt(logs, taken, ranking, lambda items: PopularitySampler(_counts(taken, items), generator))


def _dealt(
    logs: Logs, taken: Tensor, ranking: Ranking, shuffled: Callable[[int], UniformSampler | PopularitySampler]
) -> Candidates:
    """Deal to blocks of rows from what `shuffled` makes of the number of items seen."""
    who, limits = takers(logs, taken), seen(logs)
    deck = shuffled(int(limits[-1]) if len(logs) else 0)
    size = min(max(len(logs) // POOLS, 8), BLOCK)
    blocks = [slice(i, min(i + size, len(logs))) for i in range(0, len(logs), size)]
    sampled = [_sampled(logs, who, limits, rows, ranking.negatives, deck) for rows in blocks]
    whole = [hand for rows in blocks for hand in _catalogue(logs, who, limits, rows)] if ranking.catalogue else None
    return Candidates(logs, size, sampled, whole)


def _sampled(
    logs: Logs, who: ItemUsers, limits: Tensor, rows: slice, negatives: int, deck: UniformSampler | PopularitySampler
) -> CandidateBlock:
    """A hand of random items, of which each row takes its first valid ones."""
    share = int(limits[rows][0]) / deck.items  # of the items dealt, how many the block's first row had seen
    spare = int((negatives * 1.05 + 24) / share) // 64 * 64 + 64  # for what users have taken
    pool = deck.sample(torch.zeros(0, dtype=torch.int64), min(deck.items, spare))
    while True:
        hand, short = _hand(logs, who, limits, rows, pool, negatives)
        if not short or len(pool) == deck.items:
            return hand
        pool = deck.sample(pool, min(deck.items, 2 * len(pool)))  # the same random order, further on


def _catalogue(logs: Logs, who: ItemUsers, limits: Tensor, rows: slice) -> Iterator[CandidateBlock]:
    """Every item that was seen and not taken, a part at a time."""
    among = int(limits[rows][-1])
    for first in range(0, among, CHUNK):
        pool = torch.arange(first, min(first + CHUNK, among))
        yield _hand(logs, who, limits, rows, pool, len(pool))[0]


def _hand(
    logs: Logs, who: ItemUsers, limits: Tensor, rows: slice, pool: Tensor, negatives: int
) -> tuple[CandidateBlock, bool]:
    """Each row's first `negatives` valid items of the pool, and whether any row found fewer."""
    users = logs.rows[rows, 0]
    row, place = excluded_pairs(who, pool, users, limits[rows], rows.start)
    count = torch.bincount(row, minlength=len(users))
    nth = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    cut = torch.full((len(users),), min(negatives, len(pool)))
    cut.index_add_(0, row, (place - nth < negatives).long())  # a barred item makes room for one more
    return CandidateBlock(rows, pool, cut.clamp(max=len(pool)), row, place), bool((cut > len(pool)).any())


@dataclass
class UniformSampler:
    """Deals items in random order, each of [0, items) once before any comes again, so that no hand is richer in hits.

    What is dealt to one block of rows is exactly uniform; blocks are less alike than if each drew for itself, which
    takes most of the luck of the draw out of a night's mean.
    """

    items: int
    generator: Generator
    left: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def sample(self, pool: Tensor, size: int) -> Tensor:
        """The pool and as many more distinct items as make it `size`, in random order; `size` is at most `items`."""
        while len(pool) < size:
            if not len(self.left):
                self.left = torch.randperm(self.items, generator=self.generator)
            wanted = size - len(pool)
            taken, self.left = self.left[:wanted], self.left[wanted:]
            pool = _firsts(torch.cat([pool, taken])) if len(pool) else taken
        return pool


@dataclass
class PopularitySampler:
    """Deals items by weight: each of the block's draws takes a remaining item in proportion to `weights` [items].

    The order of arrival of exponential clocks with these rates is the order of successive draws without replacement
    (Efraimidis and Spirakis 2006). Every block of rows draws anew.
    """

    weights: Tensor  # float64
    generator: Generator
    order: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.weights)

    def sample(self, pool: Tensor, size: int) -> Tensor:
        """The first `size` items of a new order; of the same one further on where `pool` was dealt already."""
        if not len(pool):
            clocks = torch.empty(self.items, dtype=torch.float64).exponential_(generator=self.generator)
            late = torch.where(self.weights > 0, 0.0, 1.0)  # who is never drawn comes last, in any order
            self.order = torch.argsort(clocks / self.weights.clamp(min=1.0))
            self.order = self.order[torch.argsort(late[self.order], stable=True)]
        return self.order[:size]


def _counts(taken: Tensor, items: int) -> Tensor:
    """How often each of the first `items` items was taken."""
    return torch.bincount(taken[:, 1].long(), minlength=items)[:items].double()


def _firsts(values: Tensor) -> Tensor:
    """The values without repeats, in order of first appearance."""
    ordered, index = torch.sort(values, stable=True)
    keep = torch.ones(len(values), dtype=torch.bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return values[index[keep].sort().values]
