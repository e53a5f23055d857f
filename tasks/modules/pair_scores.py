"""Pair scores: what a ranking's weights add to the dot products of single pairs of user and item, as sparse rows.

Strategies that count or compare items (ItemKNN, Repeat, Blend) serve them beside the tables. They are three tensors of a
checkpoint's weights, in the compressed form of sparse rows. A user without a row, and an item not in it, get nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.errors import DataError

START, ITEM, VALUE = "pairs.start", "pairs.item", "pairs.value"
UNKNOWN = "unknown.user"  # the row of a user who is in no table; without it that is the mean user


@dataclass(frozen=True)
class PairScores:
    """User u has entries `start[u]` to `start[u + 1]`, each item at most once.

    Parameters
    ----------
    start : Tensor
        [U + 1] int64.
    item : Tensor
        [n] int32: item rows.
    value : Tensor
        [n] float32: what is added.

    Examples
    --------
    User 1 has 0.5 for item 7; user 9 is unknown.

    >>> import torch
    >>> from nightloop.tasks.modules.pair_scores import PairScores
    >>> pairs = PairScores(torch.tensor([0, 0, 1]), torch.tensor([7], dtype=torch.int32), torch.tensor([0.5]))
    >>> pairs.at(torch.tensor([1, 0, 9]), torch.tensor([3, 7])).tolist()
    [[0.0, 0.5], [0.0, 0.0], [0.0, 0.0]]
    """

    start: Tensor
    item: Tensor
    value: Tensor

    def entries(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Entries of users [B]: (position in `users`, entry), each [m]."""
        known = users < len(self.start) - 1
        first = self.start[torch.where(known, users, 0)]
        count = torch.where(known, self.start[torch.where(known, users + 1, 0)] - first, 0)
        row = torch.repeat_interleave(count)
        return row, first[row] + torch.arange(len(row)) - (count.cumsum(0) - count)[row]

    def at(self, users: Tensor, items: Tensor) -> Tensor:
        """The scores of users [B] and items [P]: [B, P] float32. An item may stand several times."""
        distinct, place = torch.unique(items, return_inverse=True)
        row, entry = self.entries(users)
        item = self.item[entry].long()
        column = torch.searchsorted(distinct, item).clamp(max=max(len(distinct) - 1, 0))
        hit = distinct[column] == item if len(distinct) else torch.zeros(len(item), dtype=torch.bool)
        found = torch.zeros(len(users), len(distinct))
        found[row[hit], column[hit]] = self.value[entry[hit]]
        return found[:, place]

    def of_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """The scores of pairs (users[j], items[j]): [n] float32. A user's entries are read once, however often it occurs."""
        distinct, place = torch.unique(users, return_inverse=True)
        row, entry = self.entries(distinct)
        if not len(entry):
            return torch.zeros(len(users))
        width = int(max(self.item.max(), items.max())) + 2
        key, order = (row * width + self.item[entry]).sort()
        wanted = place * width + items
        found = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        return torch.where(key[found] == wanted, self.value[entry[order[found]]], 0.0)

    def add_to(self, scores: Tensor, user: int) -> Tensor:
        """The scores of all items [I] with those of one user added; new, the scores that were given stay."""
        own = slice(*self.start[user : user + 2].tolist()) if user < len(self.start) - 1 else slice(0)
        return scores.index_add(0, self.item[own], self.value[own])

    def tensors(self) -> dict[str, Tensor]:
        """As tensors of a checkpoint's weights."""
        return {START: self.start, ITEM: self.item, VALUE: self.value}


def pair_scores_of(weights: Weights) -> PairScores | None:
    """The pair scores of a checkpoint's weights; None if they have none. Raises DataError if they are not whole."""
    if not has_pairs(weights):
        return None
    missing = [name for name in (ITEM, VALUE) if name not in weights]
    if missing:
        raise DataError(f"the weights have {START} and not {' and '.join(missing)}: the checkpoint is not whole")
    pairs = PairScores(weights[START], weights[ITEM], weights[VALUE])
    rising = len(pairs.start) > 0 and int(pairs.start[0]) == 0 and bool((pairs.start.diff() >= 0).all())
    if not rising or not len(pairs.item) == len(pairs.value) == int(pairs.start[-1]):
        raise DataError(f"{START}, {ITEM} and {VALUE} do not fit each other: the checkpoint is not whole")
    if not bool(torch.isfinite(pairs.value).all()):
        raise DataError(f"{VALUE} holds NaN or infinity: this checkpoint cannot rank")
    return pairs


def has_pairs(weights: Weights) -> bool:
    """Whether the weights are of a strategy that adds pair scores. Their tables may be wider than the model's."""
    return START in weights


def without_pairs(weights: Weights) -> dict[str, Tensor]:
    """The weights without pair scores and without an unknown user's own row."""
    return {name: tensor for name, tensor in weights.items() if name not in (START, ITEM, VALUE, UNKNOWN)}


def pairs_from_dense(scores: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of rows of scores [B, I] the `top` largest above 0: (count [B], item [n] int32, value [n])."""
    best = torch.topk(scores, min(top, scores.shape[1]), sorted=False)
    order = torch.argsort(best.indices, 1)
    items, values = best.indices.gather(1, order), best.values.gather(1, order)
    keep = values > 0
    return keep.sum(1), items[keep].int(), values[keep]
