"""A ranking model ready to serve; a score is a dot product, the best items are one matrix-vector product."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.modules.pair_scores import PairScores
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.record.taken_items import TakenItems
from nightloop.tasks.serving.id_map import IdMap


@dataclass(frozen=True)
class Factors:
    """Users and items as vectors. `users` has one row more than there are users, for unknown ones.

    That is the mean user: with biases or a geometry that follows popularity the best items are the popular ones. Weights
    with a row of their own for an unknown user, as those of Blend, have that row instead (`ranking_parts`). An unknown item
    scores 0. `pairs` is what is added to the dot products of single pairs; an unknown user has none.
    """

    user_ids: IdMap
    item_ids: IdMap
    users: Tensor  # [U + 1, d]
    items: Tensor  # [d, I]: a matrix-vector product reads this order a third faster
    pairs: PairScores | None = None
    taken: TakenItems | None = None  # what is not recommended to a user; None: all is

    @torch.inference_mode()
    def score(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> list[float]:
        """Dot products; `features` must be empty: a ranking model has none."""
        _refuse_features(features)
        user_rows = self.user_ids.rows(users)
        item_rows = self.item_ids.rows(items)
        scores = (self.users[user_rows] * self.items.T[item_rows.clamp(min=0)]).sum(1)
        if self.pairs is not None:
            known_rows = user_rows % len(self.users)  # -1, an unknown user, is the last row
            scores += self.pairs.of_pairs(known_rows, item_rows)
        return torch.where(item_rows >= 0, scores, 0.0).tolist()

    @torch.inference_mode()
    def recommend(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object]
    ) -> list[tuple[str, float]]:
        """The `k` items with the highest scores, best first, without those that the user took if they are known."""
        _refuse_features(features)
        row = int(self.user_ids.rows([user]))
        scores = self.users[row] @ self.items
        if self.pairs is not None and row >= 0:
            scores = self.pairs.add_to(scores, row)
        return top_items(scores, k, exclude, self.item_ids, self.taken.of(row) if self.taken is not None else ())


def _refuse_features(features: Mapping[str, object]) -> None:
    if features:
        raise DataError(f"features: this champion is a ranking model without features; given {[*features]!s:.500}")


def model_from_factors(
    users: Tensor, items: Tensor, user_ids: IdMap, item_ids: IdMap, pairs: PairScores | None = None
) -> Factors:
    """Ready to serve from users [U + 1, d], the last an unknown one, and items [I, d].

    Raises DataError if they do not fit the vocabulary.
    """
    for name, table, ids in (("user", users[:-1], user_ids), ("item", items, item_ids)):
        if len(table) != len(ids):
            raise DataError(
                f"{len(table)} {name} rows in the checkpoint, {len(ids)} in its vocabulary: a mixed-up pair"
            )
        if not bool(torch.isfinite(table).all()):
            raise DataError(f"the {name} rows of the checkpoint hold NaN or infinity; it cannot serve")
    if pairs is not None and len(pairs.item) and int(pairs.item.max()) >= len(items):
        raise DataError(f"pair scores name item row {int(pairs.item.max())}, there are {len(items)}: a mixed-up pair")
    return Factors(user_ids, item_ids, users.float(), items.T.float().contiguous(), pairs)


def top_items(
    scores: Tensor, k: int, exclude: Collection[object], ids: IdMap, taken: Sequence[int] = ()
) -> list[tuple[str, float]]:
    """The `k` highest of `scores` [I] with their ids, best first; fewer if there are no more.

    The ids in `exclude` and the rows in `taken` are left out.
    """
    if not isinstance(k, int) or k < 1:
        raise DataError(f"k: given {k!r}; allowed are whole numbers from 1")
    excluded = {row for row in ids.rows(exclude).tolist() if row >= 0} | {*taken}
    # So many more than k that what is excluded may be among them: no copy of the scores, and no threads to wait for.
    top = torch.topk(scores, min(k + len(excluded), len(scores)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [(ids.names[row], score) for row, score in pairs if row not in excluded][:k]
