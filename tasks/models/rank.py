"""Rank: where each row's item stands among items drawn at random, and among the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.candidates import Deck, Takers, barred, seen, takers
from tasks.models.checkpoint import Weights
from tasks.plan.plan import Ranking

Factors = Callable[[Weights], tuple[Tensor, Tensor]]  # weights -> users [U, d], items [I, d]
Ranker = Callable[[Tensor, Tensor], Tensor]  # users [B], items [P] -> scores [B, P]; ids may be beyond what it knows

BLOCK = 128  # rows that share a pool of items at most; more is faster, fewer makes rows less alike
POOLS = 128  # pools of a night at least, as long as 8 rows share one
CHUNK = 8192  # items of the catalogue that are scored at a time
NO_PLACE = 2**31 - 1


def from_factors(users: Tensor, items: Tensor) -> Ranker:
    """The ranker of dot products: `users` [U, d], `items` [I, d]; ids beyond the tables score as zero vectors.

    Products are added up in float64 and rounded once, so that equal items tie exactly wherever they stand in a block
    and the same ranks come out on every machine. Raises ValueError on NaN or unequal widths.
    """
    if users.dim() != 2 or items.dim() != 2 or users.shape[1] != items.shape[1]:
        raise ValueError(f"factors must be [U, d] and [I, d]: {tuple(users.shape)} and {tuple(items.shape)} were given")
    return _dots(_zero_row(users), _zero_row(items))


def from_weights(factors: Factors, weights: Weights) -> Ranker:
    """The ranker of a model's `factors` and weights; ids beyond a table count as a table row of zeros.

    That is not a zero vector where the model has biases: a user nobody has met is still shown what is liked by all.
    """
    tables = {name: _zero_row(table) if name.startswith("table.") else table for name, table in weights.items()}
    return _dots(*factors(tables))


def _dots(users: Tensor, items: Tensor) -> Ranker:
    """Dot products in float64, rounded to float32; ids beyond the last row score as the last row."""
    for name, table in (("user", users), ("item", items)):
        if not bool(torch.isfinite(table).all()):
            raise ValueError(f"{name} factors hold NaN or infinity: this checkpoint cannot rank")
    left, right = users.detach().double(), items.detach().double()

    def scores(who: Tensor, what: Tensor) -> Tensor:
        rows = left.index_select(0, who.clamp(max=len(left) - 1))
        return (rows @ right.index_select(0, what.clamp(max=len(right) - 1)).T).float()

    return scores


def rank(ranker: Ranker, logs: Logs, taken: Tensor, ranking: Ranking) -> dict[str, Tensor]:
    """How many candidates score above each row's item and how many exactly as high: a scored period.

    `taken` [m, 2] are (user, item) rows of earlier periods. Columns, each [n]: `user`, `item` int64, `new_user`,
    `new_item` bool (born in the row's own period), `pool` int32 (rows of one pool share the luck of its draw), `above`,
    `equal` int32 against `ranking.negatives` distinct items drawn uniformly from those seen so far that the user has
    not taken up to and including the row (all of them, where there are fewer), and with `ranking.catalogue` the same
    against all of those, as `catalogue_above` and `catalogue_equal`. The draw is the logs' own: the same for every
    ranker. Raises ValueError on NaN scores and on earlier interactions outside the vocabulary. Source: SML's protocol.
    """
    who, limits = takers(logs, taken), seen(logs)
    deck = Deck(int(limits[-1]) if len(logs) else 0, logs.generator("candidates"))
    size = min(max(len(logs) // POOLS, 8), BLOCK)
    blocks = [slice(i, min(i + size, len(logs))) for i in range(0, len(logs), size)]
    found = {"user": logs.rows[:, 0].clone(), "item": logs.rows[:, 1].clone()}
    for column, field in ((0, "user"), (1, "item")):
        found[f"new_{field}"] = logs.born[column][logs.rows[:, column]] == logs.periods
    found["pool"] = (torch.arange(len(logs)) // size).int()
    parts = [_sampled(ranker, logs, who, limits, rows, ranking.negatives, deck) for rows in blocks]
    found["above"], found["equal"] = _joined(parts)
    if ranking.catalogue:
        found["catalogue_above"], found["catalogue_equal"] = _joined(
            [_catalogue(ranker, logs, who, limits, rows) for rows in blocks]
        )
    return found


def _sampled(
    ranker: Ranker, logs: Logs, who: Takers, limits: Tensor, rows: slice, negatives: int, deck: Deck
) -> Tensor:
    """Above and equal [2, B] of a block against random items, of which each row takes its first valid ones."""
    share = int(limits[rows][0]) / deck.items  # of the items dealt, how many the block's first row had seen
    size = min(
        deck.items, int((negatives * 1.05 + 24) / share) // 64 * 64 + 64
    )  # with spares for what users have taken
    pool = deck.deal(torch.zeros(0, dtype=torch.int64), size)
    counts, short = _count(ranker, logs, who, limits, rows, pool, negatives)
    while bool(short.any()) and len(pool) < deck.items:  # the same random order, further on: uniform for every row
        pool = deck.deal(pool, min(deck.items, 2 * len(pool)))
        more, still = _count(ranker, logs, who, limits, rows, pool, negatives)
        counts = torch.where(short, more, counts)
        short = short & still
    return counts


def _catalogue(ranker: Ranker, logs: Logs, who: Takers, limits: Tensor, rows: slice) -> Tensor:
    """Above and equal [2, B] of a block against every item that was seen and not taken."""
    among = int(limits[rows][-1])
    total = torch.zeros(2, rows.stop - rows.start, dtype=torch.int64)
    for first in range(0, among, CHUNK):
        pool = torch.arange(first, min(first + CHUNK, among))
        total += _count(ranker, logs, who, limits, rows, pool, NO_PLACE)[0]
    return total


def _count(
    ranker: Ranker, logs: Logs, who: Takers, limits: Tensor, rows: slice, pool: Tensor, negatives: int
) -> tuple[Tensor, Tensor]:
    """Above and equal [2, B] among each row's first `negatives` valid items of the pool; which rows found fewer [B]."""
    users, items = logs.rows[rows, 0], logs.rows[rows, 1]
    row, place = barred(who, pool, users, limits[rows], rows.start)
    scores = ranker(users, torch.cat([pool, items]))  # one product, so that an equal item scores the same
    _no_nan(scores)
    own = scores[:, len(pool) :].diagonal()[:, None]
    count = torch.bincount(row, minlength=len(users))
    nth = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    cut = torch.full((len(users),), min(negatives, len(pool)))
    cut.index_add_(0, row, (place - nth < negatives).long())  # a barred item makes room for one more
    short = cut > len(pool) if negatives < NO_PLACE else torch.zeros(len(users), dtype=torch.bool)
    cut = cut.clamp(max=len(pool))
    counts = [_within(mark, cut, row, place) for mark in (scores[:, : len(pool)] > own, scores[:, : len(pool)] == own)]
    return torch.stack(counts), short


def _within(mark: Tensor, cut: Tensor, row: Tensor, place: Tensor) -> Tensor:
    """Marks of each row before its cut, without the barred ones: [B]."""
    whole = int(cut.min())
    total = mark[:, :whole].sum(1)
    tail = torch.arange(whole, mark.shape[1]) < cut[:, None]
    total += (mark[:, whole:] & tail).sum(1)
    barred_marks = mark[row, place] & (place < cut[row])
    return total.index_add_(0, row, -barred_marks.long())


def _joined(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    whole = torch.cat([torch.zeros(2, 0, dtype=torch.int64), *parts], dim=1).int()
    return whole[0].contiguous(), whole[1].contiguous()


def _zero_row(table: Tensor) -> Tensor:
    """The table with a row of zeros at the end, for ids it does not know."""
    return torch.cat([table, table.new_zeros(1, table.shape[1])])


def _no_nan(scores: Tensor) -> None:
    if not bool(torch.isfinite(scores.sum())) and bool(torch.isnan(scores).any()):  # the sum is the cheap first look
        raise ValueError(f"{int(torch.isnan(scores).sum())} of {scores.numel()} scores are NaN: they rank nothing")
