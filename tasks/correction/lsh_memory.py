"""LSH memory: a memory of labelled rows as sums in buckets of random hyperplanes, of constant size."""

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
    """Sums over labelled rows in arrays of buckets, so that its size does not grow with the rows.

    Each bit of a bucket's number says on which side of a random hyperplane the centred features h of a row lie. Two
    rows share a bit with probability 1 - angle / pi, and a bucket with that to the power of `bits`. What is read for a
    row is the average of all rows with these weights. h is centred by the mean of the first `warm` labelled rows: the
    outputs of ReLUs all point in similar directions, and would fall into a few buckets.

    Parameters
    ----------
    kind : {"sketch"}, default "sketch"
        The name of this memory in a plan.
    arrays : int, default 24
        K, how many arrays there are, 1 or more. More arrays make reads less noisy; time and memory are proportional to
        them.
    bits : int, default 10
        An array has 2^bits buckets, 1 to 20. More bits count only rows that are more alike.
    planes : int, default 32
        Hyperplanes that all arrays take their bits from, `bits` or more. The expectations are those of independent
        planes, at a seventh of the arithmetic; with arrays x bits planes they are independent.
    warm : int, default 500
        Labelled rows that wait until the centre is known, 1 or more. Nothing is read before.
    half_life : int, default 200000
        Rows after which a row counts half; 0: never.
    seed : int, default 0
        Seed of the hyperplanes.

    Raises
    ------
    PlanError
        A size is out of range.

    References
    ----------
    Zhu et al. 2023, ReLoop2, section 4. Andoni and Indyk 2005, E2LSH, section 3 (the pool of hyperplanes).

    Examples
    --------
    Two equal rows were written, one of them clicked: mean label, mean prediction and number of rows like them.

    >>> import torch
    >>> from nightloop.tasks.correction.lsh_memory import Sketch
    >>> sketch = Sketch(arrays=4, bits=3, planes=6, warm=2, half_life=0)
    >>> state = sketch.start(width=5)
    >>> key = sketch.key(state, torch.ones(2, 5))
    >>> sketch.write(state, key, label=torch.tensor([0.0, 1.0]), prediction=torch.tensor([0.2, 0.4]))
    >>> print([round(value, 3) for value in sketch.read(state, key)[0].tolist()])
    [0.5, 0.3, 2.0]
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
        for array in range(self.arrays):  # each plane is used once before any is used twice
            if len(shuffled) < self.bits:
                shuffled = torch.randperm(self.planes, generator=generator).tolist()
            chosen, shuffled = shuffled[: self.bits], shuffled[self.bits :]
            pick[chosen, array] = 2.0 ** torch.arange(self.bits)
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
        """Projections [n, planes] of features [n, d]: all that the sketch uses of a row."""
        return hidden @ state["planes"]

    def read(self, state: State, key: Tensor) -> Tensor:
        """Mean label, mean prediction and number of rows [n, 3] in the buckets of keys [n, planes]: ratios of sums."""
        sums = embedding_bag(self.buckets(state, key), state["sums"], mode="sum")
        rows = sums[:, :1]
        means = torch.where(rows > 0, sums[:, 1:] / rows.clamp(min=1e-30), 0.0)
        return torch.cat([means, rows / (self.arrays * state["weight"].float())], 1)

    def write(self, state: State, key: Tensor, label: Tensor, prediction: Tensor) -> None:
        """Add rows [n]. The first `warm` wait until their centre is known."""
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
        """Entropy of the buckets over its largest possible value, 0 to 1; near 0, all rows fall into a few."""
        rows = state["sums"][:, 0].view(self.arrays, -1).double()
        shares = rows / rows.sum(1, keepdim=True).clamp(min=1e-30)
        return float(-(torch.xlogy(shares, shares)).sum(1).mean() / (self.bits * torch.log(torch.tensor(2.0))))

    def _add(self, state: State, key: Tensor, label: Tensor, prediction: Tensor) -> None:
        positions = self.buckets(state, key).flatten() * 3
        sums = state["sums"].view(-1)  # three additions of numbers take half the time of one of triples
        for column, values in enumerate((torch.ones_like(label), label, prediction)):
            weighted = (values * state["weight"].float()).repeat_interleave(self.arrays)
            sums.index_add_(0, positions + column, weighted)
        forget(state, ("sums",), len(label), self.half_life)
