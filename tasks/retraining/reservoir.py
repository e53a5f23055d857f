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
    """Rows kept, in the order they came, and how many were offered in all. Each was kept with the same chance."""

    columns: Mapping[str, Any]  # tensors, of `COLUMNS`, [k, ...] each
    seen: int

    def __len__(self) -> int:
        return len(self.columns["label"])

    def offer(self, logs: Logs, size: int, generator: Generator) -> Reservoir:
        """The reservoir after these rows came by: min(`size`, rows ever seen) of them, a uniform sample.

        How many of the newcomers are in it is hypergeometric; who stays and who enters are uniform subsets. That is
        exactly what offering rows one by one does (algorithm R, Vitter 1985), without its loop.
        """
        new, total = len(logs), self.seen + len(logs)
        if total > MOST:
            raise DataError(f"a reservoir counts up to {MOST:,} rows; {total:,} came by")
        room = min(size, total)
        seed = int(torch.randint(2**62, (), generator=generator))
        enter = int(np.random.default_rng(seed).hypergeometric(new, self.seen, room)) if room else 0
        stay = _subset(len(self), room - enter, generator)
        come = _subset(new, enter, generator)
        offered = columns_of(logs)
        return Reservoir({name: torch.cat([self.columns[name][stay], offered[name][come]]) for name in COLUMNS}, total)

    def logs(self, like: Logs) -> Logs:
        """The kept rows as logs, with the vocabulary of `like`."""
        return replace(like, **self.columns)

    def memory(self) -> dict[str, Tensor]:
        """As a checkpoint's memory holds it."""
        return {**self.columns, "served": to_memory(self.columns["served"]), "seen": torch.tensor([self.seen])}


def empty_reservoir(logs: Logs) -> Reservoir:
    """A reservoir that has seen nothing, of rows like these."""
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
