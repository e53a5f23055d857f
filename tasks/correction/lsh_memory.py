"""Sketch: a memory of labelled rows as sums in buckets of random hyperplanes, of constant size however many it saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict
from torch import Tensor
from torch.nn.functional import embedding_bag

from nightloop.tasks.correction.corrector import State, forget
from nightloop.tasks.plan.bounds import ROUNDS, WIDEST
from nightloop.tasks.plan.errors import PlanError


@dataclass(frozen=True)
class Sketch:
    """K `arrays` of 2^`bits` buckets; a bit says on which side of a random hyperplane h lies, after centring.

    Two rows share a bit with probability 1 - angle/pi, a bucket with that to the power of `bits`; what is read for a
    row is the average of all rows weighted so. Each array takes its bits from a pool of `planes` hyperplanes: the
    expectations are those of independent ones, at a seventh of the arithmetic (with planes = arrays x bits, they are
    independent). h is centred by the mean of the first `warm` labelled rows: the outputs of ReLUs all point the same
    way, and would crowd into a few buckets. Rows count half after `half_life` later ones (0: never).

    Source: Zhu et al. 2023 (ReLoop2), section 4; the pool: Andoni and Indyk, E2LSH, 2005, section 3.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # a misspelt option is a mistake
    kind: Literal["sketch"] = "sketch"
    arrays: int = 24
    bits: int = 10
    planes: int = 32
    warm: int = 500
    half_life: int = 200_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise PlanError if a size cannot be."""
        least = {"arrays": 1, "bits": 1, "planes": self.bits, "warm": 1, "half_life": 0}
        wrong = [f"{n}: given {getattr(self, n)}; {low} or more" for n, low in least.items() if getattr(self, n) < low]
        most = {
            "arrays": ROUNDS,
            "bits": 20,
            "planes": WIDEST,
            "warm": 1_000_000,
        }  # 20 bits: a million buckets an array
        wrong += [
            f"{n}: given {getattr(self, n)}; at most {high:,}" for n, high in most.items() if getattr(self, n) > high
        ]
        if wrong:
            raise PlanError("; ".join(wrong))

    def start(self, width: int) -> State:
        """An empty sketch for keys of h [n, width]."""
        generator = torch.Generator().manual_seed(self.seed)
        pick = torch.zeros(self.planes, self.arrays)
        shuffled: list[int] = []
        for array in range(self.arrays):  # deal the planes out: each is used once before any is used twice
            if len(shuffled) < self.bits:
                shuffled = torch.randperm(self.planes, generator=generator).tolist()
            hand, shuffled = shuffled[: self.bits], shuffled[self.bits :]
            pick[hand, array] = 2.0 ** torch.arange(self.bits)
        return {
            "planes": torch.randn(width, self.planes, generator=generator),
            "pick": pick,
            "centre": torch.zeros(self.planes),
            "waiting": torch.zeros(self.warm, self.planes + 2),
            "waits": torch.zeros(1, dtype=torch.int64),
            "sums": torch.zeros(self.arrays << self.bits, 3),  # rows, labels, predictions
            "weight": torch.ones(1, dtype=torch.float64),
        }

    def key(self, state: State, hidden: Tensor) -> Tensor:
        """Projections [n, planes] of h [n, d]: all that the sketch ever looks at."""
        return hidden @ state["planes"]

    def read(self, state: State, key: Tensor) -> Tensor:
        """Mean label, mean prediction and number of rows [n, 3] in the buckets of each key, by the ratio of sums."""
        found = embedding_bag(self.buckets(state, key), state["sums"], mode="sum")
        rows = found[:, :1]
        means = torch.where(rows > 0, found[:, 1:] / rows.clamp(min=1e-30), 0.0)
        return torch.cat([means, rows / (self.arrays * state["weight"].float())], 1)

    def write(self, state: State, key: Tensor, label: Tensor, prediction: Tensor) -> None:
        """Add rows. The first `warm` wait until their centre is known."""
        have = int(state["waits"])
        if have < self.warm:
            rows = torch.cat([key, label[:, None], prediction[:, None]], 1)[: self.warm - have]
            state["waiting"][have : have + len(rows)] = rows
            state["waits"] += len(rows)
            key, label, prediction = key[len(rows) :], label[len(rows) :], prediction[len(rows) :]
            if have + len(rows) < self.warm:
                return
            waited = state["waiting"]
            state["centre"] = waited[:, :-2].mean(0)
            self._add(state, waited[:, :-2], waited[:, -2], waited[:, -1])
        if len(key):
            self._add(state, key, label, prediction)

    def buckets(self, state: State, key: Tensor) -> Tensor:
        """Each key's row of `sums` in every array: [n, arrays] int64."""
        codes = (key > state["centre"]).float() @ state["pick"]  # exact: below 2^24
        return codes.long() + (torch.arange(self.arrays) << self.bits)

    def occupancy(self, state: State) -> float:
        """Entropy of the buckets over its largest possible value: near 0, all rows crowd into a few."""
        rows = state["sums"][:, 0].view(self.arrays, -1).double()
        shares = rows / rows.sum(1, keepdim=True).clamp(min=1e-30)
        return float(-(torch.xlogy(shares, shares)).sum(1).mean() / (self.bits * torch.log(torch.tensor(2.0))))

    def _add(self, state: State, key: Tensor, label: Tensor, prediction: Tensor) -> None:
        where = self.buckets(state, key).flatten() * 3
        sums = state["sums"].view(-1)  # three additions of numbers take half the time of one of triples
        for column, what in enumerate((torch.ones_like(label), label, prediction)):
            each = (what * state["weight"].float()).repeat_interleave(self.arrays)
            sums.index_add_(0, where + column, each)
        forget(state, ("sums",), len(label), self.half_life)
