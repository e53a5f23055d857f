"""Pending labels: scored requests, kept until their labels come; bounded, the oldest are dropped first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from nightloop.tasks.correction.chain import Notes
from nightloop.tasks.plan.errors import DataError

TEXT = 1_000  # characters a row that may be held, on average
Row = tuple[object, object, dict[str, object]]  # user, item and features


@dataclass(frozen=True)
class ScoreRequest:
    """Pairs (users[j], items[j]) as the caller named them; a feature is one value for all, or a list of one a row."""

    users: Sequence[object]
    items: Sequence[object]
    features: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise DataError if users and items are not equally many."""
        if len(self.users) != len(self.items):
            raise DataError(f"{len(self.users)} users and {len(self.items)} items were given; give pairs")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def characters(self) -> int:
        """How much text it holds, about: of the users the first, who is the user of a request."""
        values = [self.users[:1], self.items, *(v if is_row_wise(v) else (v,) for v in self.features.values())]
        return sum(len(value) for column in values for value in column if isinstance(value, str))

    def rows(self, positions: Iterable[int]) -> Iterator[Row]:
        """User, item and features of some rows, each with a dictionary of its own."""
        each = {name: value for name, value in self.features.items() if is_row_wise(value)}
        for position in positions:
            features = {**self.features, **{n: v[position] for n, v in each.items()}}
            yield self.users[position], self.items[position], features


def is_row_wise(value: object) -> TypeGuard[Sequence[object]]:
    """Whether a feature is given row by row."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def merge_requests(requests: Sequence[ScoreRequest]) -> ScoreRequest:
    """Several requests with features of the same names as one. Raises DataError if a list is not one value a row."""
    features: dict[str, list[object]] = {name: [] for name in requests[0].features}
    for request in requests:
        for name, column in features.items():
            value, n = request.features[name], len(request)
            if is_row_wise(value) and len(value) != n:
                raise DataError(f"features: {name} has {len(value)} values for {n} rows")
            column.extend(value if is_row_wise(value) else [value] * n)
    return ScoreRequest(
        [u for request in requests for u in request.users], [i for request in requests for i in request.items], features
    )


def gather_rows(rows: Sequence[Row]) -> ScoreRequest:
    """One request of many rows, all with the same features. A replay gathers hundreds at once: no look at each value."""
    users, items, features = [list(part) for part in zip(*rows, strict=True)] if rows else ([], [], [])
    names = list(features[0]) if features else []
    return ScoreRequest(users, items, {name: [row[name] for row in features] for name in names})


@dataclass(frozen=True)
class RecordedRequest:
    """Pairs to be scored; with a `request` id they are kept for their labels, and `when` with them."""

    inputs: ScoreRequest
    request: str | None = None
    when: str = ""


@dataclass(frozen=True)
class ScoredRequest:
    """One request. `label` is filled in as labels come; `notes` are None if they must be made again."""

    version: str  # of the model that answered
    inputs: ScoreRequest
    when: str  # as the caller gave the time; it is not parsed here
    base: Sequence[float]
    prediction: Sequence[float]
    label: list[float | None]
    notes: Notes | None = None

    def to_json(self, request: str) -> str:
        """The request without its notes as one line of JSON."""
        inputs = [list(self.inputs.users), list(self.inputs.items), dict(self.inputs.features)]
        return json.dumps(
            [request, self.version, inputs, self.when, self.base, self.prediction, self.label], default=str
        )


class PendingLabels:
    """Scored requests by id, of at most `limit` rows and `TEXT` characters a row. Not thread-safe: the caller locks."""

    def __init__(self, limit: int) -> None:
        self.limit, self.rows, self.characters, self.forgotten = limit, 0, 0, 0
        self._requests: dict[str, ScoredRequest] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: str, scored: ScoredRequest) -> None:
        """Raises DataError if the id is taken: labels for it could mean either."""
        if request in self._requests:
            raise DataError(f"request {request[:80]!r} was served already; give every request an id of its own")
        self._requests[request] = scored
        self.rows += len(scored.inputs)
        self.characters += scored.inputs.characters
        while (self.rows > self.limit or self.characters > TEXT * self.limit) and len(self._requests) > 1:
            oldest = self._requests.pop(next(iter(self._requests))).inputs
            self.rows -= len(oldest)
            self.characters -= oldest.characters
            self.forgotten += 1

    def get(self, request: str) -> ScoredRequest | None:
        """None if it was never served, or so long ago that it was dropped."""
        return self._requests.get(request)

    def items(self) -> list[tuple[str, ScoredRequest]]:
        """Every scored request with its id, oldest first."""
        return list(self._requests.items())

    def read(self, lines: Sequence[str]) -> None:
        """Add requests that `ScoredRequest.to_json` wrote; their notes are made again."""
        for line in lines:
            fields: list[Any] = json.loads(line)
            request, version, inputs, when, base, prediction, label = fields
            if request not in self._requests:
                self.add(request, ScoredRequest(version, ScoreRequest(*inputs), when, base, prediction, label))
