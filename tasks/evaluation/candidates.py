"""Candidates: which items a row's positive is ranked against, of those that were seen and not taken by then.

They are drawn uniformly, as in nights, or in proportion to how often items were taken, so that popularity does not
help. They do not depend on the model, so they are drawn once a period and shared by all checkpoints that are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.exclusions import ItemUsers, excluded_pairs, item_users, items_seen
from nightloop.tasks.plan.plan import Ranking

BLOCK = 128  # most rows that share a pool of items; more is faster, fewer makes rows less dependent
POOLS = 128  # fewest pools of a night, unless fewer than 8 rows would share one
CHUNK = 8192  # items of the catalogue that are scored at a time
SCORES = 1 << 26  # of one period and checkpoint, at most, if a sample of rows is ranked against the catalogue: a second


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
    return _sample_blocks(logs, taken, ranking, lambda items: UniformSampler(items, logs.generator("candidates")))


def sample_popular(logs: Logs, taken: Tensor, ranking: Ranking) -> Candidates:
    """As `sample_candidates`, but drawn one after another in proportion to how often an item is in `taken`.

    Popularity then helps little: what an item is ranked against is popular as well. Items that were never taken
    before come last.

    Parameters
    ----------
    logs, taken, ranking
        As for `sample_candidates`.

    Returns
    -------
    Candidates
        For `rank`.

    Examples
    --------
    Sixty rows, of which each eight share the items that they are ranked against.

    >>> from nightloop.tasks.evaluation.candidates import sample_popular
    >>> from nightloop.tasks.plan.plan import Ranking
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> before, logs = simulated_periods("ranking")[3:]
    >>> candidates = sample_popular(logs.since(4), before.rows, Ranking(negatives=5))
    >>> candidates.block, len(candidates.sampled)
    (8, 8)
    """
    generator = logs.generator("candidates/popular")
    return _sample_blocks(logs, taken, ranking, lambda items: PopularitySampler(_counts(taken, items), generator))


def _sample_blocks(
    logs: Logs, taken: Tensor, ranking: Ranking, make_sampler: Callable[[int], UniformSampler | PopularitySampler]
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
    sampler: UniformSampler | PopularitySampler,
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


@dataclass
class PopularitySampler:
    """Draws items by weight: each draw takes a remaining item in proportion to `weights`.

    Every block of rows has a new order. The order of exponential random times with these rates is the order of
    successive draws without replacement.

    Parameters
    ----------
    weights : Tensor
        [items] float64. Items of weight 0 come last, in any order.
    generator : torch.Generator
        Where the order is drawn from.
    order : Tensor, default empty
        The present order.

    References
    ----------
    Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir.

    Examples
    --------
    Of three items, one was taken 98 times and one twice: the first is nearly always drawn.

    >>> import torch
    >>> from nightloop.tasks.evaluation.candidates import PopularitySampler
    >>> sampler = PopularitySampler(torch.tensor([98.0, 2.0, 0.0]).double(), torch.Generator().manual_seed(0))
    >>> nothing = torch.zeros(0, dtype=torch.int64)
    >>> round(sum(sampler.sample(nothing, 1).item() == 0 for _ in range(500)) / 500, 1)
    1.0
    """

    weights: Tensor  # float64
    generator: Generator
    order: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.weights)

    def sample(self, pool: Tensor, size: int) -> Tensor:
        """The first `size` items of a new order, or of the present one if `pool` was drawn already: [size]."""
        if not len(pool):
            clocks = torch.empty(self.items, dtype=torch.float64).exponential_(generator=self.generator)
            never_taken = torch.where(self.weights > 0, 0.0, 1.0)  # items of weight 0 come last, in any order
            self.order = torch.argsort(clocks / self.weights.clamp(min=1.0))
            self.order = self.order[torch.argsort(never_taken[self.order], stable=True)]
        return self.order[:size]


def _counts(taken: Tensor, items: int) -> Tensor:
    """How often each of the first `items` items was taken."""
    return torch.bincount(taken[:, 1].long(), minlength=items)[:items].double()


def _drop_repeats(values: Tensor) -> Tensor:
    """The values without repeats, in order of first appearance."""
    ordered, index = torch.sort(values, stable=True)
    keep = torch.ones(len(values), dtype=torch.bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return values[index[keep].sort().values]
