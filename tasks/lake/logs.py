"""Logs: one or more periods as tensors, the only thing a strategy ever sees of the lake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Logs:
    """Rows of consecutive periods, ordered by (period, time, user, item).

    `rows[:, j]` is the vocabulary row of field `fields[j]`; fields are user, item, then the plan's categorical columns.
    `sizes[j]` is the size of that field's vocabulary at the close of `period`, the newest period included: nothing here
    speaks of a later one. Every row id is in [0, sizes[j]).
    """

    period: int  # index of the newest period
    periods: Tensor  # [n] int32: index of the period of each row
    fields: tuple[str, ...]
    rows: Tensor  # [n, F] int64
    numeric: Tensor  # [n, N] float32
    label: Tensor  # [n] float32; all ones where the plan has no label
    time: Tensor  # [n] int64, microseconds since 1970-01-01 UTC
    sizes: tuple[int, ...]  # [F]
    born: tuple[Tensor, ...]  # F x [sizes[j]] int32: index of the period each vocabulary row was born in
    seed: int  # of the newest period: same for every strategy, so that a race is fair

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def generator(self, purpose: str = "") -> torch.Generator:
        """A fresh random generator of this period, the same for everyone who names the same purpose."""
        digest = hashlib.sha256(f"{self.seed}/{self.period}/{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def since(self, first: int) -> Logs:
        """The rows of period `first` and later; the vocabulary stays."""
        return self.select(self.periods >= first)

    def select(self, keep: Tensor) -> Logs:
        """The rows where `keep` [n] (bool mask or int64 positions) says so; the vocabulary stays."""
        parts = {name: getattr(self, name)[keep] for name in ("periods", "rows", "numeric", "label", "time")}
        return replace(self, **parts)
