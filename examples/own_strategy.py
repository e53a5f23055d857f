"""A strategy of your own: check it with the shipped contract, then compare it with FineTune.

Run it with: python examples/own_strategy.py

The strategy is called Rehearse. It trains on the newest period and on a random part of the two periods before it, so that
it forgets less. nightloop's strategies are frozen dataclasses of the same kind.

To use it in a plan as `use: Rehearse`, put the class in a package of your own, say yours.py, and register it in that
package's pyproject.toml by an entry point. Then `pip install .` in that package.

    [project.entry-points."nightloop.strategies"]
    Rehearse = "yours:Rehearse"
"""

from dataclasses import dataclass

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.score_period import scored_period
from nightloop.tasks.evaluation.summary import summarize_metrics
from nightloop.tasks.models.fm import FM
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold, pretrain, recent_rows, start_chain
from nightloop.tasks.retraining.contract import all_checks, simulated_periods
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.training.fit import fit

TRAINING = TrainConfig(epochs=2, batch_size=256, lr=0.1)


@dataclass(frozen=True)
class Rehearse:
    """Train on the newest period and on a share of the older rows that are in reach."""

    training: TrainConfig = TRAINING
    share: float = 0.3
    lookback: int = 3  # periods of logs that `update` reads, the newest included

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The first checkpoint: the pre-trained weights."""
        return Checkpoint(logs.period, weights)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """The next checkpoint. Random numbers come from the logs, so that a second run gives the same result."""
        drawn = torch.rand(len(logs), generator=logs.generator("rehearse")) < self.share
        rows = logs.select(drawn | (logs.periods == logs.period))
        return Checkpoint(logs.period, fit(model, checkpoint.weights, rows, self.training).weights)


def prequential(model: Model, strategy: Strategy, periods: list[Logs]) -> list[float]:
    """The LogLoss of each period after the first, measured before the strategy trains on that period."""
    checkpoint, found = start_chain(model, strategy, pretrain(model, FineTune(TRAINING), periods[0]), periods[0]), []
    for logs in periods[1:]:
        scored = scored_period(model, checkpoint.weights, recent_rows(logs, 1))
        found.append(summarize_metrics(scored, "ctr")["logloss"])
        checkpoint = fold(model, strategy, checkpoint, logs)
    return found


if __name__ == "__main__":
    model = FM(("user", "item"), width=4)
    for check in all_checks():
        check(model, Rehearse(), simulated_periods("ctr"))
        print(f"passed  {check.__name__}")
    print("\nLogLoss of each period before training on it (lower is better)\nperiod  FineTune  Rehearse")
    history = simulated_periods("ctr", count=6, rows=600)
    scores = [prequential(model, strategy, history) for strategy in (FineTune(TRAINING), Rehearse())]
    for number, (fine_tune, rehearse) in enumerate(zip(*scores, strict=True), 1):
        print(f"{number:6}  {fine_tune:8.4f}  {rehearse:8.4f}")
    fine_tune, rehearse = (sum(one) / len(one) for one in scores)
    print(f"  mean  {fine_tune:8.4f}  {rehearse:8.4f}")
