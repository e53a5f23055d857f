"""SPMF: go on training on the newest period and a reservoir of the past, badly predicted positives more often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nightloop.tasks.data.logs import COLUMNS, Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.bounds import ROWS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.checkpoint_memory import require_keys
from nightloop.tasks.retraining.reservoir import Reservoir, columns_of, empty, load_reservoir
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict


@dataclass(frozen=True)
class SPMF:
    """Stream-based probabilistic matrix factorisation (Wang et al. 2018), for rankings and for labelled logs.

    A reservoir of `size` rows is a uniform sample of all positives of the past. Rankings: T is the reservoir and the
    newest period; positives of T, ranked r = 1... by the score of yesterday's weights (1: the best), are drawn with
    replacement with probability exp(r / |T|) / sum, `training.epochs` times |T| of them. Labelled logs (ASMG's second
    strategy): all rows of the newest period, besides `ratio` times as many positives from the reservoir of positives,
    drawn by rank without replacement, and `ratio` times as many negatives, drawn uniformly from one of negatives. The
    newest period enters the reservoirs after training. Without a reservoir (`size` 0) nothing is replayed: that is
    fine-tuning. Negatives of a ranking are uniform over the items seen that the user does not have in T.
    """

    size: int = 7000
    ratio: float = 0.5
    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1, l2=0.03)  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        refuse_outside("size", self.size, ROWS, 0, "the rows of a reservoir")
        if not 0 <= self.ratio <= 10:
            raise PlanError(f"ratio: given {self.ratio}; it is rows replayed for each new one, 0 to 10")

    @property
    def lookback(self) -> int:
        """The newest period; the reservoir holds the past."""
        return 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights; the root's history streams through the reservoirs."""
        kinds = {kind: empty(logs) for kind in self._kinds(model)}
        return Checkpoint(logs.period, weights, self._offered(kinds, logs))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on what is drawn, then let the newest period into the reservoirs. ValueError where the loss diverges."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective; a row in a reservoir keeps the prediction that it came with."""
        kinds = self._recalled(model, checkpoint.memory)
        mixed = self._mixed(model, checkpoint.weights, logs, kinds)
        once = replace(self.training, epochs=1) if model.family == "ranking" and self.size else self.training
        fitted = fit(model, checkpoint.weights, mixed, once, objective(mixed))
        return Checkpoint(logs.period, fitted.weights, self._offered(kinds, logs))

    def _kinds(self, model: Model) -> tuple[str, ...]:
        return ("positives",) if model.family == "ranking" else ("positives", "negatives")

    def _recalled(self, model: Model, memory: Weights) -> dict[str, Reservoir]:
        """The reservoirs of a memory. Raises PlanError if they are not there."""
        kinds = self._kinds(model)
        require_keys(memory, [f"{kind}/{name}" for kind in kinds for name in (*COLUMNS, "seen")], "SPMF")
        return {kind: load_reservoir(unpack(kind, memory)) for kind in kinds}

    def _offered(self, kinds: dict[str, Reservoir], logs: Logs) -> dict[str, Tensor]:
        """The memory of reservoirs that the rows of `logs` came by."""
        memory: dict[str, Tensor] = {}
        for kind, reservoir in kinds.items():
            rows = logs.select((logs.label > 0.5) == (kind == "positives"))
            memory |= pack(kind, reservoir.offer(rows, self.size, logs.generator(f"spmf/{kind}")).memory())
        return memory

    def _mixed(self, model: Model, weights: Weights, logs: Logs, kinds: dict[str, Reservoir]) -> Logs:
        """What is trained on this period."""
        generator = logs.generator("spmf/draw")
        if model.family == "ranking":
            if not self.size:
                return logs
            both = joined(kinds["positives"].logs(logs), logs)
            chances = rank_chances(predict(model, weights, both))
            wanted = len(both) * self.training.epochs
            drawn = torch.multinomial(chances, wanted, True, generator=generator) if wanted else torch.arange(0)
            return both.select(drawn.sort().values)
        positives, negatives = (kinds[kind].logs(logs) for kind in ("positives", "negatives"))
        ones = int(logs.label.sum())
        like, other = (min(int(self.ratio * n), len(r)) for n, r in ((ones, positives), (len(logs) - ones, negatives)))
        chances = rank_chances(predict(model, weights, positives))
        best = torch.multinomial(chances, like, generator=generator) if like else torch.arange(0)
        some = torch.randperm(len(negatives), generator=generator)[:other]
        return joined(joined(positives.select(best.sort().values), negatives.select(some.sort().values)), logs)


def rank_chances(scores: Tensor) -> Tensor:
    """Chances [n] float64 of rows with these scores: exp(rank / n), the best score first, made to add up to one."""
    ranks = torch.empty(len(scores), dtype=torch.float64)
    ranks[torch.argsort(scores, descending=True, stable=True)] = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    return torch.softmax(ranks / max(len(scores), 1), 0)


def joined(first: Logs, second: Logs) -> Logs:
    """The rows of both, the vocabulary of the second."""
    one, two = columns_of(first), columns_of(second)
    both: dict[str, Any] = {name: torch.cat([one[name], two[name]]) for name in COLUMNS}
    return replace(second, **both)
