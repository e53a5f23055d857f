"""Member scores: several strategies' rankings as columns of numbers, and the weights that serve a weighted sum of them.

Dot products add: the tables of the members stand side by side, each user's numbers times the member's coefficient. Pair
scores add entry by entry. A member with pair scores has two columns, one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import CandidateBlock, Candidates
from nightloop.tasks.evaluation.rank import Ranker, dot_products, ranking_parts
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import zero_row
from nightloop.tasks.modules.model import Factored, Model
from nightloop.tasks.modules.pair_scores import UNKNOWN, PairScores
from nightloop.tasks.retraining.conditional_logit import Choices
from nightloop.tasks.retraining.prequential_loss import night_candidates

ROWS = 2048  # most rows of a period that weights are fitted on
RIVALS = 100  # candidates of each of them
EDGES = (1, 5)  # takings at which a bucket of users begins: none, 1 to 4, 5 or more


@dataclass(frozen=True)
class Member:
    """What one member ranks by. The last row of `users` is that of an unknown user; an unknown item scores 0."""

    users: Tensor  # [U + 1, d]
    items: Tensor  # [I, d]
    pairs: PairScores | None

    @property
    def columns(self) -> list[Ranker]:
        """Its scores, one or two numbers for each pair."""
        dots = dot_products(self.users, zero_row(self.items))
        return [dots] if self.pairs is None else [dots, self.pairs.at]


@dataclass(frozen=True)
class ChoiceSets:
    """Rows of a period: the scores of what was taken and of candidates that were not.

    `scores[n, 0]` are those of the row's item; those of its `count[n]` candidates follow.
    """

    scores: Tensor  # [n, 1 + RIVALS, K] float32
    count: Tensor  # [n] int64
    bucket: Tensor  # [n] int64: of the row's user, before the period


def member_of(model: Model, weights: Weights) -> Member:
    """The member that these weights are. Its scores are less that of an unknown item, which leaves each user's order."""
    users, items, pairs = ranking_parts(cast(Factored, model).factors, weights)
    return Member(users, items[:-1] - items[-1:], pairs)


def activity_buckets(logs: Logs, until: int) -> Tensor:
    """The bucket of each user, and of an unknown one, by takings up to the close of a period: [U + 1] int64."""
    takings = torch.bincount(logs.rows[logs.periods <= until, 0], minlength=logs.sizes[0] + 1)
    return torch.bucketize(takings, torch.tensor(EDGES), right=True)


def choice_sets(members: Sequence[Member], candidates: Candidates, bucket: Tensor) -> ChoiceSets:
    """At most `ROWS` rows of the candidates' period, evenly spread, as the members score them."""
    columns = [column for member in members for column in member.columns]
    rows, step = candidates.logs.rows, max(-(-len(candidates.logs) // ROWS), 1)
    parts = [_choices_of_block(columns, rows, block, step) for block in candidates.sampled]
    none = torch.zeros(0, dtype=torch.int64)
    empty = (torch.zeros(0, 1 + RIVALS, len(columns)), none, none)
    scores, count, users = (torch.cat(column) for column in zip(empty, *parts, strict=True))
    return ChoiceSets(scores, count, bucket[users.clamp(max=len(bucket) - 1)])


def _choices_of_block(
    columns: Sequence[Ranker], rows: Tensor, block: CandidateBlock, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, number of candidates and users of every `step`-th row of a block."""
    own = torch.arange(block.rows.start, block.rows.stop)
    keep = own % step == 0
    length = min(len(block.pool), 3 * RIVALS)
    allowed = torch.arange(length) < block.cut[:, None]
    near = block.place < length
    allowed[block.row[near], block.place[near]] = False
    allowed = allowed[keep]
    first = torch.argsort((~allowed).byte(), dim=1, stable=True)[:, :RIVALS]
    count = allowed.sum(1).clamp(max=RIVALS)
    users, items = rows[own[keep], 0], rows[own[keep], 1]
    scores = torch.zeros(len(users), 1 + RIVALS, len(columns))
    for number, column in enumerate(columns):
        found = column(users, torch.cat([block.pool[:length], items]))
        scores[:, 0, number] = found[:, length:].diagonal()
        scores[:, 1 : 1 + first.shape[1], number] = found[:, :length].gather(1, first)
    return scores, count, users


def column_scales(members: Sequence[Member], candidates: Candidates, logs: Logs) -> Tensor:
    """The standard deviation of each column among the candidates of the newest period: [K] float64."""
    sets = choice_sets(members, candidates, activity_buckets(logs, logs.period))
    return torch.from_numpy(Choices(sets.scores.double().numpy(), sets.count.numpy()).scales())


def mix_members(
    model: Model, members: Sequence[Member], shares: Tensor, logs: Logs, scales: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Weights that serve the mean of the members' standardised scores, by `shares` [members], and the scales [members].

    The scales are the standard deviations among the candidates of the newest period; those that are given if it has no
    rows. A member that scores all of them equally says nothing.
    """
    candidates, bucket = night_candidates(logs), activity_buckets(logs, logs.period)
    if len(candidates.logs):
        sets = choice_sets(members, candidates, bucket)
        parts = torch.split(sets.scores, [len(member.columns) for member in members], dim=2)
        totals = torch.stack([part.sum(2) for part in parts], 2)
        scales = torch.from_numpy(Choices(totals.double().numpy(), sets.count.numpy()).scales())
    each = torch.where(scales > 0, shares / scales.clamp(min=1e-30), 0.0)
    columns = torch.repeat_interleave(each, torch.tensor([len(member.columns) for member in members]))
    return compose(model, members, columns.expand(len(EDGES) + 1, -1), bucket), scales


def compose(model: Model, members: Sequence[Member], coefficients: Tensor, bucket: Tensor) -> dict[str, Tensor]:
    """Weights that serve the sum of the members' columns times their coefficients.

    `coefficients` [buckets, K] are of every bucket of users; `bucket` [U + 1] is that of each user and of an unknown one. The
    unknown user's row is among the weights as `UNKNOWN`, by the coefficients of users who took nothing yet.
    """
    of_user, users, items, pairs = coefficients[bucket], [], [], []
    column = 0
    for member in members:
        useful = (member.users != 0).any(0) & (member.items != 0).any(0) & bool((coefficients[:, column] > 0).any())
        users.append(member.users[:, useful] * of_user[:, column, None])
        items.append(member.items[:, useful])
        column += 1
        if member.pairs is not None:
            pairs.append((member.pairs, of_user[:, column]))
            column += 1
    sums = _add_pairs(pairs, len(bucket) - 1, len(items[0]))
    biases = [torch.zeros(len(bucket), 1)] if getattr(model, "biases", False) else []
    table = torch.cat([*users, *biases], 1).float()
    item_table = torch.cat([*items, *[bias.new_zeros(len(items[0]), 1) for bias in biases]], 1).float()
    return {"table.user": table[:-1], "table.item": item_table, UNKNOWN: table[-1:], **sums.tensors()}


def _add_pairs(parts: Sequence[tuple[PairScores, Tensor]], users: int, items: int) -> PairScores:
    """The sum of pair scores, each times a number for every user."""
    keys, values = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0)]
    for pairs, coefficient in parts:
        user = torch.repeat_interleave(pairs.start.diff())
        value = pairs.value * coefficient[user].float()
        keys.append((user * max(items, 1) + pairs.item)[value != 0])
        values.append(value[value != 0])
    key, place = torch.unique(torch.cat(keys), return_inverse=True)
    value = torch.zeros(len(key)).index_add_(0, place, torch.cat(values))
    count = torch.bincount(key // max(items, 1), minlength=users)
    start = torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)])
    return PairScores(start, (key % max(items, 1)).int(), value)
