"""Rank: where each row's item stands among items drawn at random, and among the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import CandidateBlock, Candidates
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import with_zero_rows, zero_row
from nightloop.tasks.plan.errors import DataError

Factors = Callable[[Weights], tuple[Tensor, Tensor]]  # weights -> users [U, d], items [I, d]
Ranker = Callable[[Tensor, Tensor], Tensor]  # users [B], items [P] -> scores [B, P]; ids may be beyond what it knows


def from_factors(users: Tensor, items: Tensor) -> Ranker:
    """The ranker of dot products: `users` [U, d], `items` [I, d]; users beyond the table are the mean user, items score 0.

    Products are added up in float64 and rounded once, so that equal items tie exactly wherever they stand in a block
    and the same ranks come out on every machine. Raises DataError on NaN or unequal widths.
    """
    if users.dim() != 2 or items.dim() != 2 or users.shape[1] != items.shape[1]:
        raise DataError(f"factors must be [U, d] and [I, d]: {tuple(users.shape)} and {tuple(items.shape)} were given")
    return _dots(torch.cat([users, mean_user(users)]), zero_row(items))


def from_weights(factors: Factors, weights: Weights) -> Ranker:
    """The ranker of a model's `factors` and weights, which ranks as the predictor does: a user beyond the table is the
    mean user, so that whoever nobody has met is shown what is liked by all; an item is a table row of zeros.
    """
    users, items = factors(with_zero_rows(weights))
    return _dots(torch.cat([users[:-1], mean_user(users[:-1])]), items)


def mean_user_ranker(factors: Factors, weights: Weights) -> Ranker:
    """The ranker that takes every user for the mean user: what is left of a model when it is not personal."""
    users, items = factors(with_zero_rows(weights))
    return _dots(mean_user(users[:-1]), items)


def mean_user(users: Tensor) -> Tensor:
    """What stands for a user nobody has met: the mean [1, d] of users [U, d]; zeros where there are none."""
    return users.mean(0, keepdim=True) if len(users) else users.new_zeros(1, users.shape[1])


def _dots(users: Tensor, items: Tensor) -> Ranker:
    """Dot products in float64, rounded to float32; ids beyond the last row score as the last row."""
    for name, table in (("user", users), ("item", items)):
        if not bool(torch.isfinite(table).all()):
            raise DataError(f"{name} factors hold NaN or infinity: this checkpoint cannot rank")
    left, right = users.detach().double(), items.detach().double()

    def scores(who: Tensor, what: Tensor) -> Tensor:
        rows = left.index_select(0, who.clamp(max=len(left) - 1))
        return (rows @ right.index_select(0, what.clamp(max=len(right) - 1)).T).float()

    return scores


def rank(ranker: Ranker, candidates: Candidates) -> dict[str, Tensor]:
    """How many candidates score above each row's item and how many exactly as high: a scored period.

    Columns, each [n]: `user`, `item` int64, `new_user`, `new_item` bool (born in the row's own period), `pool` int32
    (rows of one pool share the luck of its draw), `above`, `equal` int32 and, where the catalogue was dealt,
    `catalogue_above` and `catalogue_equal`. Raises DataError on NaN scores.
    """
    logs = candidates.logs
    found = {"user": logs.rows[:, 0].clone(), "item": logs.rows[:, 1].clone()}
    for column, field in ((0, "user"), (1, "item")):
        found[f"new_{field}"] = logs.born[column][logs.rows[:, column]] == logs.periods
    found["pool"] = (torch.arange(len(logs)) // candidates.block).int()
    found["above"], found["equal"] = _counted(ranker, logs, candidates.sampled)
    if candidates.catalogue is not None:
        found["catalogue_above"], found["catalogue_equal"] = _counted(ranker, logs, candidates.catalogue)
    return found


def _counted(ranker: Ranker, logs: Logs, hands: Sequence[CandidateBlock]) -> Tensor:
    """Above and equal [2, n] over all hands; a block may have several."""
    total = torch.zeros(2, len(logs), dtype=torch.int32)
    for hand in hands:
        total[:, hand.rows] += _count(ranker, logs, hand)
    return total


def _count(ranker: Ranker, logs: Logs, hand: CandidateBlock) -> Tensor:
    """Above and equal [2, B] of one hand."""
    users, items, size = logs.rows[hand.rows, 0], logs.rows[hand.rows, 1], len(hand.pool)
    scores = ranker(users, torch.cat([hand.pool, items]))  # one product, so that an equal item scores the same
    _no_nan(scores)
    own = scores[:, size:].diagonal()[:, None]
    marks = (scores[:, :size] > own, scores[:, :size] == own)
    return torch.stack([_within(mark, hand.cut, hand.row, hand.place) for mark in marks])


def _within(mark: Tensor, cut: Tensor, row: Tensor, place: Tensor) -> Tensor:
    """Marks of each row before its cut, without the barred ones: [B]."""
    whole = int(cut.min())
    total = mark[:, :whole].sum(1)
    tail = torch.arange(whole, mark.shape[1]) < cut[:, None]
    total += (mark[:, whole:] & tail).sum(1)
    barred_marks = mark[row, place] & (place < cut[row])
    return total.index_add_(0, row, -barred_marks.long())


def _no_nan(scores: Tensor) -> None:
    if not bool(torch.isfinite(scores.sum())) and bool(torch.isnan(scores).any()):  # the sum is the cheap first look
        raise DataError(f"{int(torch.isnan(scores).sum())} of {scores.numel()} scores are NaN: they rank nothing")
