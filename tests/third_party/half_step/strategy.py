"""HalfStep: train on the newest period, then go only part of the way."""

from dataclasses import dataclass, field

from tasks.lake.logs import Logs
from tasks.models.checkpoint import Checkpoint, Weights
from tasks.models.fit import fit
from tasks.models.model import Model
from tasks.models.schedule import Schedule


@dataclass(frozen=True)
class HalfStep:
    """weights(t) = weights(t-1) + share x (trained on period t - weights(t-1))."""

    schedule: Schedule = field(default_factory=Schedule)
    share: float = 0.5
    lookback: int = 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        trained = fit(model, checkpoint.weights, logs, self.schedule).weights
        way = {name: old + self.share * (trained[name] - old) for name, old in checkpoint.weights.items()}
        return Checkpoint(logs.period, way)
