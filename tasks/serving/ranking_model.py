"""A ranking model ready to serve; a score is a dot product, the best items are one matrix-vector product."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.evaluation.rank import mean_user
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.serving.id_map import IdMap


@dataclass(frozen=True)
class Factors:
    """Users and items as vectors. `users` has one row more than there are users: their mean, for unknown users.

    An unknown user gets the mean user vector: with biases or a geometry that follows popularity its best items are the
    popular ones. An unknown item scores 0.
    """

    user_ids: IdMap
    item_ids: IdMap
    users: Tensor  # [U + 1, d]
    items: Tensor  # [d, I]: a matrix-vector product reads this order a third faster

    @torch.inference_mode()
    def score(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> list[float]:
        """Dot products; `features` must be empty: a ranking model has none."""
        _refuse_features(features)
        user_rows = self.user_ids.rows(users)
        item_rows = self.item_ids.rows(items)
        scores = (self.users[user_rows] * self.items.T[item_rows.clamp(min=0)]).sum(1)
        return torch.where(item_rows >= 0, scores, 0.0).tolist()

    @torch.inference_mode()
    def recommend(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object]
    ) -> list[tuple[str, float]]:
        """The `k` items with the highest scores, best first."""
        _refuse_features(features)
        scores = self.users[int(self.user_ids.rows([user]))] @ self.items
        return top_items(scores, k, exclude, self.item_ids)


def _refuse_features(features: Mapping[str, object]) -> None:
    if features:
        raise DataError(f"features: this champion is a ranking model without features; given {[*features]!s:.500}")


def model_from_factors(users: Tensor, items: Tensor, user_ids: IdMap, item_ids: IdMap) -> Factors:
    """Ready to serve from users [U, d] and items [I, d]. Raises DataError if they do not fit the vocabulary."""
    for name, table, ids in (("user", users, user_ids), ("item", items, item_ids)):
        if len(table) != len(ids):
            raise DataError(
                f"{len(table)} {name} rows in the checkpoint, {len(ids)} in its vocabulary: a mixed-up pair"
            )
        if not bool(torch.isfinite(table).all()):
            raise DataError(f"the {name} rows of the checkpoint hold NaN or infinity; it cannot serve")
    return Factors(user_ids, item_ids, torch.cat([users, mean_user(users)]).float(), items.T.float().contiguous())


def top_items(scores: Tensor, k: int, exclude: Collection[object], ids: IdMap) -> list[tuple[str, float]]:
    """The `k` highest of `scores` [I] with their ids, best first, without `exclude`; fewer if there are no more."""
    if not isinstance(k, int) or k < 1:
        raise DataError(f"k: given {k!r}; allowed are whole numbers from 1")
    excluded = {row for row in ids.rows(exclude).tolist() if row >= 0}
    # So many more than k that what is excluded may be among them: no copy of the scores, and no threads to wait for.
    top = torch.topk(scores, min(k + len(excluded), len(scores)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [(ids.names[row], score) for row, score in pairs if row not in excluded][:k]
