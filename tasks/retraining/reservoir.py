"""Reservoir: a uniform sample of all rows ever seen, of fixed size, as tensors of a checkpoint's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from nightloop.tasks.data.logs import COLUMNS, Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.retraining.checkpoint_memory import from_memory, to_memory

MOST = 1_000_000_000  # rows ever seen up to which numpy draws from the hypergeometric distribution


@dataclass(frozen=True)
class Reservoir:
    """Rows in the order in which they came, and how many were offered in all. Each is here with the same probability."""

    columns: Mapping[str, Any]  # tensors, of `COLUMNS`, [k, ...] each
    seen: int

    def __len__(self) -> int:
        return len(self.columns["label"])

    def offer(self, logs: Logs, size: int, generator: Generator) -> Reservoir:
        """The reservoir after these rows were offered: min(`size`, rows ever seen) rows, a uniform sample.

        How many of the newcomers are in it is hypergeometric; who stays and who enters are uniform subsets. That is
        exactly what offering rows one by one does (algorithm R, Vitter 1985), without its loop.
        """
        new, total = len(logs), self.seen + len(logs)
        if total > MOST:
            raise DataError(f"a reservoir counts up to {MOST:,} rows; {total:,} were offered")
        size_after = min(size, total)
        seed = int(torch.randint(2**62, (), generator=generator))
        enter = int(np.random.default_rng(seed).hypergeometric(new, self.seen, size_after)) if size_after else 0
        stay_rows = _subset(len(self), size_after - enter, generator)
        enter_rows = _subset(new, enter, generator)
        new_columns = columns_of(logs)
        return Reservoir(
            {name: torch.cat([self.columns[name][stay_rows], new_columns[name][enter_rows]]) for name in COLUMNS}, total
        )

    def logs(self, like: Logs) -> Logs:
        """The kept rows as logs, with the vocabulary of `like`."""
        return replace(like, **self.columns)

    def memory(self) -> dict[str, Tensor]:
        """As a checkpoint's memory holds it."""
        return {**self.columns, "served": to_memory(self.columns["served"]), "seen": torch.tensor([self.seen])}


def empty_reservoir(logs: Logs) -> Reservoir:
    """An empty reservoir for rows like these."""
    return Reservoir(columns_of(logs.select(torch.zeros(0, dtype=torch.int64))), 0)


def load_reservoir(memory: Weights) -> Reservoir:
    """What `Reservoir.memory` wrote."""
    columns = {name: memory[name] for name in COLUMNS}
    return Reservoir({**columns, "served": from_memory(columns["served"])}, int(memory["seen"]))


def columns_of(logs: Logs) -> dict[str, Tensor]:
    """The columns of logs that a reservoir keeps."""
    return {name: getattr(logs, name) for name in COLUMNS}


def _subset(of: int, size: int, generator: Generator) -> Tensor:
    """A uniform subset of [0, of), ascending: [size] int64."""
    return torch.randperm(of, generator=generator)[:size].sort().values
