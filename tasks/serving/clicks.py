"""Clicks: a click model ready to serve; a score is the probability of a click in a context of features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Weights
from tasks.models.kept import kept
from tasks.models.model import Model
from tasks.models.predict import predict
from tasks.models.sequence import LATEST
from tasks.serving.factors import best
from tasks.serving.ids import Ids

HISTORY = "history"  # the one feature that may be left out


@dataclass(frozen=True)
class Clicks:
    """A click model with its vocabulary. An unknown id of any field counts as a row of zeros, as in evaluation.

    A model of histories takes one more feature, `history`: the items that the user took last, oldest first, as text
    with | between them. Without it a user has what the champion's night knew; nights judge with all until the row.
    """

    model: Model
    weights: Weights
    ids: Mapping[str, Ids]  # by field: user, item and every categorical column
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]

    @torch.inference_mode()
    def score(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> list[float]:
        """Probabilities of a click. A feature is one value for all rows, or a list of one value a row."""
        return self._probabilities(self.encoded(users, items, features)).tolist()

    @torch.inference_mode()
    def recommend(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object]
    ) -> list[tuple[str, float]]:
        """The `k` items most likely to be clicked in this context; every item is scored, so it costs what it costs."""
        return best(self._probabilities(self.catalogue(user, features)), k, exclude, self.ids["item"])

    def encoded(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> Logs:
        """The rows of pairs in a context, as the model reads them. Raises ValueError where features do not fit."""
        return self._encoded(self.ids["user"].rows(users), self.ids["item"].rows(items), features)

    def catalogue(self, user: object, features: Mapping[str, object]) -> Logs:
        """A row for every item of the vocabulary, in its order."""
        items = torch.arange(len(self.ids["item"]))
        return self._encoded(self.ids["user"].rows([user]).expand(len(items)), items, features)

    def _encoded(self, users: Tensor, items: Tensor, features: Mapping[str, object]) -> Logs:
        wanted, latest = {*self.categorical, *self.numeric}, kept(self.weights).get(LATEST)
        if set(features) - ({HISTORY} if latest is not None else set()) != wanted:
            raise ValueError(f"features: given {sorted(features)}; this champion needs exactly {sorted(wanted)}")
        n = len(users)
        rows = [users, items, *(self.ids[c].rows(_column(features[c], n, c)) for c in self.categorical)]
        numbers = [_numbers(_column(features[c], n, c), c) for c in self.numeric]
        numeric = torch.stack(numbers, 1) if numbers else torch.zeros(n, 0)
        logs = as_logs(("user", "item", *self.categorical), rows, numeric)
        if latest is None:
            return logs
        history = latest.index_select(0, users.clamp(min=0)) * (users >= 0)[:, None] - 1
        if HISTORY in features:
            history = _histories(_column(features[HISTORY], n, HISTORY), self.ids["item"], latest.shape[1])
        return replace(logs, history=history)

    def _probabilities(self, logs: Logs) -> Tensor:
        return torch.sigmoid(predict(self.model, self.weights, logs))


def as_logs(fields: tuple[str, ...], rows: Sequence[Tensor], numeric: Tensor) -> Logs:
    """Rows to be predicted as `Logs`; -1 is an unseen id. They belong to no period and are never learned from."""
    n = len(rows[0])
    none, ones = torch.zeros(n, dtype=torch.int64), torch.ones(n)
    return Logs(0, none.int(), fields, torch.stack(list(rows), 1), numeric, ones, none, (0,) * len(fields), (), 0)


def _column(given: object, n: int, name: str) -> Sequence[object]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        return [given] * n
    if len(given) != n:
        raise ValueError(f"features: {name} has {len(given)} values for {n} rows; give one a row, or a single one")
    return given


def _histories(given: Sequence[object], items: Ids, length: int) -> Tensor:
    """The last `length` items of each text, newest last, -1 where there are fewer or one is unknown: [n, length]."""
    lines: dict[object, Tensor] = {}
    for text in given:
        if not isinstance(text, str):
            raise ValueError(f"features: {HISTORY} must be item ids with | between them, as text; given {text!r:.80}")
        if text not in lines:
            rows = items.rows(text.split("|")[-length:] if text else [])
            lines[text] = torch.cat([rows.new_full((length - len(rows),), -1), rows])
    return torch.stack([lines[text] for text in given])


def _numbers(given: Sequence[object], name: str) -> Tensor:
    try:
        numbers = torch.tensor([float(value) for value in given], dtype=torch.float32)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"features: {name} must be numbers: {str(error)[:200]}") from error
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError(f"features: {name} holds NaN or infinity; give finite numbers")
    return numbers
