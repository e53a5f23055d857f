"""Logs: one or more periods as tensors. A strategy reads nothing else of the lake."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nightloop.tasks.plan.plan import Ranking

COLUMNS = ("periods", "rows", "numeric", "label", "time", "served", "history", "values")  # of `Logs`: one entry a row
NONE = torch.tensor(float("nan"))  # no prediction was logged for any row
NO_ITEMS = torch.zeros(0, 0, dtype=torch.int64)  # no histories are kept
PLAIN = Ranking()  # the defaults of a plan


@dataclass(frozen=True)
class Logs:
    """Rows of consecutive periods, ordered by (period, time, user, item).

    `rows[:, j]` is the vocabulary row of field `fields[j]`; fields are user, item, then the plan's categorical columns.
    `sizes[j]` is the size of that field's vocabulary at the close of `period`, the newest period included. No id of a
    later period is here. Every row id is in [0, sizes[j]).
    """

    period: int  # index of the newest period
    periods: Tensor  # [n] int32: index of the period of each row
    fields: tuple[str, ...]
    rows: Tensor  # [n, F] int64
    numeric: Tensor  # [n, N] float32
    label: Tensor  # [n] float32; all ones if the plan has no label
    time: Tensor  # [n] int64, microseconds since 1970-01-01 UTC
    sizes: tuple[int, ...]  # [F]
    born: tuple[Tensor, ...]  # F x [sizes[j]] int32: index of the period each vocabulary row was born in
    seed: int  # of the newest period: the same for every strategy, so that a comparison is fair
    served: Tensor = NONE  # [n] float32: probability that was served for the row; NaN if none was logged
    history: Tensor = NO_ITEMS  # [n, L] int64: items the user took before the row, newest last; -1: fewer
    values: Tensor = NO_ITEMS  # [n, V] int64: all values of fields that have several, -1 if there are fewer
    several: tuple[int, ...] = ()  # [V] number of the field of each column of `values`; in `rows` is its first value
    others: tuple[int, ...] = ()  # [F] row that the field's rare values share, -1: none; empty: no field has one
    latest: Tensor = NO_ITEMS  # [sizes[0], L] int64: items each user took last when `period` closed, in the same way
    ranking: Ranking = PLAIN  # how the plan ranks rows
    metric: str = "ndcg@20"  # by which the plan's gate decides

    def __post_init__(self) -> None:
        if self.served is NONE:
            object.__setattr__(self, "served", NONE.expand(len(self)))  # one number, however many rows
        for name, size in (("history", len(self)), ("values", len(self)), ("latest", self.sizes[0])):
            if getattr(self, name) is NO_ITEMS:
                object.__setattr__(self, name, NO_ITEMS.new_empty(size, 0))

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def generator(self, purpose: str = "") -> torch.Generator:
        """A new random generator of this period, always the same for the same purpose."""
        digest = hashlib.sha256(f"{self.seed}/{self.period}/{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def since(self, first: int) -> Logs:
        """The rows of period `first` and later, without a copy if they are the last ones. The vocabulary stays."""
        keep = self.periods >= first
        dropped = len(keep) - int(keep.sum())
        if not dropped:
            return self
        return self.select(slice(dropped, None) if bool(keep[dropped:].all()) else keep)

    def share_rare_rows(self, sizes: Sequence[int]) -> Logs:
        """The rows for tables of these sizes [F]. An id beyond its table becomes the row that rare values share, if there is one."""
        if max(self.others, default=-1) < 0:
            return self
        rare_rows = torch.tensor(self.others)
        limits, of_values = torch.tensor(sizes), list(self.several)
        rows = torch.where((self.rows >= limits) & (rare_rows >= 0), rare_rows, self.rows)
        rare_rows, limits = rare_rows[of_values], limits[of_values]
        return replace(
            self, rows=rows, values=torch.where((self.values >= limits) & (rare_rows >= 0), rare_rows, self.values)
        )

    def select(self, keep: Tensor | slice) -> Logs:
        """The rows at `keep`: a bool mask [n], int64 positions or a slice. The vocabulary stays."""
        return replace(self, **{name: getattr(self, name)[keep] for name in COLUMNS})
