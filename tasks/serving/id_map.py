"""Ids: from the id of a user or an item to its row, and back, in a microsecond."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.values import MISSING, id_of


@dataclass(frozen=True)
class IdMap:
    """One field's vocabulary. Ids are compared as text, as they are in the lake: 17, 17.0 and "17" are the same user."""

    names: Sequence[str]  # by row
    of: Mapping[str | None, int]  # None: the row that rare values share

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, ids: Iterable[object]) -> Tensor:
        """The row of each id: [n] int64, -1 if it is unknown; None is the category that a row of logs lacked.

        An unknown id of a field whose rare values share a row has that row.
        """
        return torch.tensor([self._row(i) for i in ids], dtype=torch.int64)

    def _row(self, id_: object) -> int:
        row = self.of.get(MISSING if id_ is None else str(id_))
        if row is None:  # usually the id is written as in the lake
            row = self.of.get(id_of(id_) or MISSING, self.of.get(None, -1))
        return row


def id_map(vocabulary: Vocabulary, field: str) -> IdMap:
    """The ids of one field in the order of their rows."""
    names = vocabulary.ids[field].to_pylist()
    return IdMap(names, {name: row for row, name in enumerate(names)})
