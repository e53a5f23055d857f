"""HalfStep: train on the newest period, then go only part of the way."""

from dataclasses import dataclass, field

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit


@dataclass(frozen=True)
class HalfStep:
    """weights(t) = weights(t-1) + share x (trained on period t - weights(t-1))."""

    training: TrainConfig = field(default_factory=TrainConfig)
    share: float = 0.5
    lookback: int = 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        trained = fit(model, checkpoint.weights, logs, self.training).weights
        way = {name: old + self.share * (trained[name] - old) for name, old in checkpoint.weights.items()}
        return Checkpoint(logs.period, way)
