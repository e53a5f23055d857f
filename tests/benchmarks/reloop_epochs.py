"""Benchmark `reloop-epochs`: whether the gain of ReLoop and KD is regularisation, in the still click world, five seeds.

The static protocol of ReLoop's paper: a model is trained from scratch on a fixed set, and trained from scratch again with
the predictions of a teacher on the same rows. The teacher is a model of as many epochs, or one of a single epoch. If what
both gain is regularisation, the gain grows with the epochs by which the backbone is over-trained, and shrinks where dropout
regularises already. *Its best* is the setting of epochs and dropout that is best for an entrant on a day of its own, on
which nothing is trained or tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.contract_data import logs_until
from nightloop.tasks.retraining.distillation_loss import Distil
from nightloop.tasks.retraining.teacher_predictions import with_predictions
from nightloop.tasks.sources.click_world import ClickWorld
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.reloop import SelfCorrection
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.benchmarks.worlds import finding, over_seeds, result
from tests.benchmarks.worlds_clicks import BACKBONE, DENSE, TUNED, model_of, quality, read

ROWS = 10_000  # a day
TRAINED, CHOSEN, TESTED = 5, 6, range(10, 14)  # the last day of training, and days after it
EPOCHS, DROPOUTS = (1, 4, 8), (0.0, 0.3)
SHARES = (0.3, 0.6)  # ReLoop's alpha, and KD's weight
METRICS = ("AUC", "LogLoss")
TEACHERS = ("of one epoch", "of as many epochs")
LOSSES: dict[str, Objective] = {
    **{f"ReLoop {share}": SelfCorrection(share) for share in SHARES},
    **{f"KD {share}": Distil(1 - share, share, 1.0) for share in SHARES},
}
RIVALS = tuple(f"{name}, teacher {teacher}" for teacher in TEACHERS for name in LOSSES)


def replay(seed: int) -> dict[str, Any]:
    """Quality of the backbone and of every rival, by epochs and dropout, on the chosen and on the tested days."""
    whole, _ = read(ClickWorld("criteo", drift=0.0, seed=seed, rows=ROWS))
    model, rows = model_of(BACKBONE, whole), logs_until(whole, TRAINED)
    found = {}
    for dropout in DROPOUTS:
        of_one_epoch = trained(model, training(1, dropout), rows, labels)
        for epochs in EPOCHS:
            base = trained(model, training(epochs, dropout), rows, labels)
            models = {"CE": base}
            for teacher, weights in zip(TEACHERS, (of_one_epoch, base), strict=True):
                taught = with_predictions(model, weights, rows)
                for name, loss in LOSSES.items():
                    models[f"{name}, teacher {teacher}"] = trained(model, training(epochs, dropout), taught, loss)
            found[setting(epochs, dropout)] = {name: judge(model, own, whole) for name, own in models.items()}
    return found


def training(epochs: int, dropout: float) -> TrainConfig:
    """The schedule of all entrants."""
    return TrainConfig(epochs=epochs, batch_size=256, lr=TUNED, dense_lr=DENSE, dropout=dropout)


def setting(epochs: int, dropout: float = 0.0) -> str:
    """The name of a setting."""
    return f"{epochs} epochs, dropout {dropout:g}"


def trained(model: Model, schedule: TrainConfig, rows: Logs, objective: Objective) -> Weights:
    """Weights from scratch."""
    start = Checkpoint(rows.period, initial_weights(model, rows))
    return FullRetrain(schedule, begin="scratch").learn(model, start, rows, objective).weights


def judge(model: Model, weights: Weights, whole: Logs) -> dict[str, dict[str, float]]:
    """Quality on the day that chooses and on the tested days."""

    def on(days: Sequence[int]) -> dict[str, float]:
        rows = whole.select((whole.periods >= days[0]) & (whole.periods <= days[-1]))
        predicted: Tensor = predict(model, weights, rows).sigmoid()
        return quality(rows.label, predicted)

    return {"chosen": on([CHOSEN]), "tested": on(TESTED)}


def gap(runs: Sequence[Mapping[str, Any]], at: str, name: str, metric: str) -> list[float]:
    """Gain over the backbone of the same setting, one a seed."""
    return [run[at][name]["tested"][metric] - run[at]["CE"]["tested"][metric] for run in runs]


def best_gap(runs: Sequence[Mapping[str, Any]], name: str, metric: str) -> list[float]:
    """Gain of the rival's best setting over the backbone's best, both chosen on the day of their own."""

    def best(run: Mapping[str, Any], entrant: str) -> float:
        at = max(run, key=lambda one: run[one][entrant]["chosen"][metric])
        return float(run[at][entrant]["tested"][metric])

    return [best(run, name) - best(run, "CE") for run in runs]


def run() -> dict[str, object]:
    """The gains by epochs and dropout, at the best setting, and whether they grow with over-training."""
    runs, few, many = over_seeds(replay), setting(EPOCHS[0]), setting(EPOCHS[-1])
    found = []
    for metric in METRICS:
        for name in RIVALS:
            short, long = gap(runs, few, name, metric), gap(runs, many, name, metric)
            found += [
                finding(f"{name}: above CE, {few}, {metric}", short),
                finding(f"{name}: above CE, {many}, {metric}", long),
                finding(
                    f"{name}: the gain grows with epochs, {metric}", [b - a for a, b in zip(short, long, strict=True)]
                ),
                finding(f"{name}: above CE, each at its best, {metric}", best_gap(runs, name, metric)),
            ]
    means = {
        at: {name: {m: round(sum(run[at][name]["tested"][m] for run in runs) / len(runs), 4) for m in METRICS}
             for name in ("CE", *RIVALS)} for at in runs[0]}  # fmt: skip
    return result("about ReLoop and KD as regularisation", found, {"means": means})


if __name__ == "__main__":
    print(run()["markdown"])
