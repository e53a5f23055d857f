"""A click model ready to serve; a score is the probability of a click in a context of features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.lake.values import BETWEEN
from nightloop.tasks.layers.sequence import LATEST
from nightloop.tasks.layers.state import state_of
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.serving.id_map import IdMap
from nightloop.tasks.serving.ranking_model import top_items
from nightloop.tasks.training.predict import predict

HISTORY = "history"  # the one feature that may be left out


@dataclass(frozen=True)
class Clicks:
    """A click model with its vocabulary. An unknown id of any field counts as a row of zeros, as in evaluation.

    Of a column whose rows have several values the feature is text with | between them. A model of histories takes one
    more, `history`: the items that the user took last, oldest first, as such a text. Without it a user has the
    history that the champion's night knew; nights evaluate with all items up to the row.
    """

    model: Model
    weights: Weights
    ids: Mapping[str, IdMap]  # by field: user, item and every categorical column
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    several: Mapping[str, int] = field(default_factory=dict)  # by categorical column how many values a row may have

    @torch.inference_mode()
    def score(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> list[float]:
        """Probabilities of a click. A feature is one value for all rows, or a list of one value a row."""
        return self._probabilities(self.encoded(users, items, features)).tolist()

    @torch.inference_mode()
    def recommend(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object]
    ) -> list[tuple[str, float]]:
        """The `k` items most likely to be clicked in this context; every item is scored, so it takes time in proportion to their number."""
        return top_items(self._probabilities(self.catalogue(user, features)), k, exclude, self.ids["item"])

    def encoded(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> Logs:
        """The rows of pairs in a context, as the model reads them. Raises DataError if features do not fit."""
        return self._encoded(self.ids["user"].rows(users), self.ids["item"].rows(items), features)

    def catalogue(self, user: object, features: Mapping[str, object]) -> Logs:
        """A row for every item of the vocabulary, in its order."""
        items = torch.arange(len(self.ids["item"]))
        return self._encoded(self.ids["user"].rows([user]).expand(len(items)), items, features)

    def _encoded(self, users: Tensor, items: Tensor, features: Mapping[str, object]) -> Logs:
        wanted, latest = {*self.categorical, *self.numeric}, state_of(self.weights).get(LATEST)
        if set(features) - ({HISTORY} if latest is not None else set()) != wanted:
            raise DataError(f"features: this champion needs exactly {sorted(wanted)}; given {sorted(features)!s:.500}")
        n = len(users)
        raw = {c: _column(features[c], n, c) for c in self.categorical}
        multi = {c: _first(_lists(raw[c], self.ids[c], c), most).expand(n, -1) for c, most in self.several.items()}
        single = {c: self.ids[c].rows(raw[c]).expand(n) for c in self.categorical if c not in multi}
        rows = [users, items, *(multi[c][:, 0] if c in multi else single[c] for c in self.categorical)]
        numbers = [_numbers(_column(features[c], n, c), c).expand(n) for c in self.numeric]
        numeric = torch.stack(numbers, 1) if numbers else torch.zeros(n, 0)
        fields = ("user", "item", *self.categorical)
        logs = as_logs(fields, rows, numeric)
        if multi:
            several = tuple(number for number, c in enumerate(fields) for _ in range(self.several.get(c, 0)))
            values = torch.cat([multi[c] for c in fields if c in multi], 1)
            logs = replace(logs, values=values, several=several)
        if latest is None:
            return logs
        history = latest.index_select(0, users.clamp(min=0)) * (users >= 0)[:, None] - 1
        if HISTORY in features:
            lists = _lists(_column(features[HISTORY], n, HISTORY), self.ids["item"], HISTORY)
            history = _last(lists, latest.shape[1]).expand(n, -1)
        return replace(logs, history=history)

    def _probabilities(self, logs: Logs) -> Tensor:
        return torch.sigmoid(predict(self.model, self.weights, logs))


def as_logs(fields: tuple[str, ...], rows: Sequence[Tensor], numeric: Tensor) -> Logs:
    """Rows to be predicted as `Logs`; -1 is an unseen id. They belong to no period and are never learned from."""
    n = len(rows[0])
    none, ones = torch.zeros(n, dtype=torch.int64), torch.ones(n)
    return Logs(0, none.int(), fields, torch.stack(list(rows), 1), numeric, ones, none, (0,) * len(fields), (), 0)


def _column(value: object, n: int, name: str) -> Sequence[object]:
    """One value a row, or a single one for all of them, which is looked up once."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value]
    if len(value) != n:
        raise DataError(f"features: {name} has {len(value)} values for {n} rows; give one a row, or a single one")
    return value


def _lists(texts: Sequence[object], ids: IdMap, name: str) -> list[Tensor]:
    """The rows of the values in each text, which has | between them; -1 if a value is unknown."""
    if wrong := [one for one in texts if not isinstance(one, str | None)]:
        raise DataError(f"features: {name} must be text with | between its values; given {wrong[0]!r:.80}")
    return [ids.rows(str(text or "").split(BETWEEN)) for text in texts]


def _first(lists: Sequence[Tensor], most: int) -> Tensor:
    """The first `most` of each, -1 if there are fewer: [n, most]."""
    return torch.stack([pad(values[:most], (0, most - len(values[:most])), value=-1) for values in lists])


def _last(lists: Sequence[Tensor], most: int) -> Tensor:
    """The last `most` of each, the last at the end, -1 if there are fewer: [n, most]."""
    return torch.stack([pad(values[-most:], (most - len(values[-most:]), 0), value=-1) for values in lists])


def _numbers(values: Sequence[object], name: str) -> Tensor:
    try:
        floats = [0.0 if value is None else float(value) for value in values]  # type: ignore[arg-type]
        numbers = torch.tensor(floats, dtype=torch.float32)  # a number that is missing is 0, as it is in the logs
    except (TypeError, ValueError, OverflowError) as error:  # the last: a whole number of 400 digits
        raise DataError(
            f"features: {name} must be numbers, one for all items or one each; {str(error)[:200]}"
        ) from error
    if not bool(torch.isfinite(numbers).all()):
        raise DataError(f"features: {name} holds NaN or infinity; give finite numbers")
    return numbers
