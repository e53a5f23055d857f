"""kNN memory: a memory of the newest labelled rows. The rows nearest to a query are averaged."""

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
    """The newest `capacity` rows; the `k` of largest cosine s are averaged with weights softmax(s / `temperature`).

    The search is exact, one matrix product: no index has to be trained, and the oldest row is forgotten at no cost. Its
    time is proportional to `capacity` (100 keys of width 400 against 20,000: 40 ms on a core). If that is too slow, use
    the sketch.

    Parameters
    ----------
    kind : {"neighbours"}, default "neighbours"
        The name of this memory in a plan.
    capacity : int, default 20000
        Rows that are kept, `k` or more.
    k : int, default 50
        Rows that are averaged, 1 or more. More rows make reads less noisy and less similar to the query.
    temperature : float, default 0.1
        Above 0. 0.1 is the paper's example. A larger value weights the neighbours more evenly.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Zhu et al. 2023, ReLoop2, section 4, the explicit memory.

    Examples
    --------
    Of three rows the two nearest are equal to the query, and one of them was clicked.

    >>> import torch
    >>> from nightloop.tasks.correction.knn_memory import Neighbours
    >>> memory = Neighbours(capacity=10, k=2)
    >>> state = memory.start(width=2)
    >>> key = memory.key(state, torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    >>> memory.write(state, key, label=torch.tensor([0.0, 1.0, 1.0]), prediction=torch.tensor([0.2, 0.4, 0.9]))
    >>> print([round(value, 3) for value in memory.read(state, key[:1])[0].tolist()])
    [0.5, 0.3, 2.0]
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
        """An empty memory for keys of features [n, width]."""
        return {
            "keys": torch.zeros(self.capacity, width),
            "values": torch.zeros(self.capacity, 2),  # label, prediction
            "written": torch.zeros(1, dtype=torch.int64),
        }

    def key(self, state: State, hidden: Tensor) -> Tensor:
        """Features [n, d] divided by their length."""
        return normalize(hidden)

    def read(self, state: State, key: Tensor) -> Tensor:
        """Weighted mean label and prediction of the neighbours, and their number: [n, 3]."""
        stored = min(int(state["written"]), self.capacity)
        if not stored:
            return torch.zeros(len(key), 3)
        nearest = torch.topk(key @ state["keys"][:stored].T, min(self.k, stored))
        weights = torch.softmax(nearest.values / self.temperature, 1)
        means = (state["values"][nearest.indices] * weights[:, :, None]).sum(1)
        return torch.cat([means, torch.full((len(key), 1), float(nearest.values.shape[1]))], 1)

    def write(self, state: State, key: Tensor, label: Tensor, prediction: Tensor) -> None:
        """Replace the oldest rows."""
        first = int(state["written"]) + max(len(key) - self.capacity, 0)
        key, values = key[-self.capacity :], torch.stack([label, prediction], 1)[-self.capacity :]
        positions = (first + torch.arange(len(key))) % self.capacity
        state["keys"][positions], state["values"][positions] = key, values
        state["written"].fill_(first + len(key))

    def occupancy(self, state: State) -> float:
        """The share of the capacity that is in use."""
        return min(int(state["written"]) / self.capacity, 1.0)
