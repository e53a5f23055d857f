"""Neighbours: a memory of the newest labelled rows, each kept as it is; the nearest ones answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict
from torch import Tensor
from torch.nn.functional import normalize

from nightloop.tasks.correction.corrector import State
from nightloop.tasks.plan.errors import PlanError

MOST = 10_000_000  # rows


@dataclass(frozen=True)
class Neighbours:
    """The newest `capacity` rows; the `k` of largest cosine s count softmax(s / `temperature`).

    The search is exact, one matrix product: no index has to be trained, and it forgets the oldest row at no cost. Its
    time is proportional to `capacity` (100 keys of width 400 against 20,000: 40 ms on a core). Where that is too slow,
    use the sketch.

    Source: Zhu et al. 2023 (ReLoop2), section 4, the explicit memory.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # a misspelt option is a mistake
    kind: Literal["neighbours"] = "neighbours"
    capacity: int = 20_000
    k: int = 50
    temperature: float = 0.1

    def __post_init__(self) -> None:
        """Raise PlanError if an option cannot be."""
        if not (0 < self.k <= self.capacity <= MOST and self.temperature > 0):
            raise PlanError(
                f"given capacity {self.capacity}, k {self.k}, temperature {self.temperature}; allowed are 1 <= k <= "
                f"capacity <= {MOST:,} and a temperature above 0"
            )

    def start(self, width: int) -> State:
        """An empty memory for keys of h [n, width]."""
        return {
            "keys": torch.zeros(self.capacity, width),
            "values": torch.zeros(self.capacity, 2),  # label, prediction
            "written": torch.zeros(1, dtype=torch.int64),
        }

    def key(self, state: State, hidden: Tensor) -> Tensor:
        """h at length 1: [n, d]."""
        return normalize(hidden)

    def read(self, state: State, key: Tensor) -> Tensor:
        """Weighted mean label and prediction of the neighbours, and how many there are: [n, 3]."""
        have = min(int(state["written"]), self.capacity)
        if not have:
            return torch.zeros(len(key), 3)
        near = torch.topk(key @ state["keys"][:have].T, min(self.k, have))
        weights = torch.softmax(near.values / self.temperature, 1)
        means = (state["values"][near.indices] * weights[:, :, None]).sum(1)
        return torch.cat([means, torch.full((len(key), 1), float(near.values.shape[1]))], 1)

    def write(self, state: State, key: Tensor, label: Tensor, prediction: Tensor) -> None:
        """Take the place of the oldest rows."""
        first = int(state["written"]) + max(len(key) - self.capacity, 0)
        key, values = key[-self.capacity :], torch.stack([label, prediction], 1)[-self.capacity :]
        places = (first + torch.arange(len(key))) % self.capacity
        state["keys"][places], state["values"][places] = key, values
        state["written"].fill_(first + len(key))

    def occupancy(self, state: State) -> float:
        """The share of the capacity that is in use."""
        return min(int(state["written"]) / self.capacity, 1.0)
