"""Benchmark `worlds-clicks`: what is claimed for deep models, KD, ReLoop and ReLoop2, in the click worlds, five seeds.

A seed is a world and all luck of training in it. Every chain is pre-trained on the same days, then fine-tuned day by day,
and predicts each of the last days before it learns from it. Rates, KD's weight and ReLoop's alpha were chosen on seed
100, which is not among the five: the rivals stand on the same tuned backbone and had as many tries. Differences are of
means over the test days, plus is better; AUC is that of each day, so that no shift between days counts. A day has 40,000
impressions: with the plan's 10,000 NFM, whose perceptron sees sums of products alone, does not yet pass FM.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.correction.corrector import Corrector
from nightloop.tasks.correction.lsh_memory import Sketch
from nightloop.tasks.correctors.counters import Counters
from nightloop.tasks.correctors.recalibration import Recalibration
from nightloop.tasks.correctors.reloop2 import ReLoop2
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.evaluation.ctr_metrics import logloss
from nightloop.tasks.models import build
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import pretrain
from nightloop.tasks.retraining.contract_data import encode_ids, logs_until
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.sources.click_world import ClickWorld
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.kd import KD
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.reloop import ReLoop
from nightloop.tasks.training.predict import predict
from tests.benchmarks.real_logs import chain
from tests.benchmarks.worlds import finding, over_seeds, picture, result
from tests.correctors.replay import replay_stream as corrected

ROOT, TESTED = 7, 4  # the last day of the history folded in at once; days at the end that count
WORLDS = (("criteo", 0.2), ("criteo", 0.0), ("avazu", 0.2))  # and their drift
DEEP = ("DeepFM", "WideDeep", "NFM", "IPNN", "DCN", "xDeepFM", "FmFM", "AFNPlus")
LAYERS = (64, 64)
OPTIONS: dict[str, dict[str, Any]] = {
    "LR": {}, "FM": {"width": 8}, "FmFM": {"width": 8}, "xDeepFM": {"width": 8, "cin": (8, 8), "hidden": LAYERS},
    "AFNPlus": {"width": 8, "neurons": 64, "cross": LAYERS, "hidden": LAYERS},
}  # fmt: skip
BACKBONE = "DCN"
ROWS = 40_000  # impressions a day
RATE, TUNED, DENSE = 0.02, 0.05, 0.002  # of tables (row-wise Adagrad), the backbone's, and of layers (Adam)
WEIGHT = ALPHA = {"drifting": 0.1, "still": 0.3}  # KD's and ReLoop's
STACKS = (
    ("recalibration",), ("ReLoop2",), ("counters",), ("recalibration", "ReLoop2"), ("recalibration", "counters"),
    ("recalibration", "ReLoop2", "counters"),
)  # fmt: skip
SLOT, DELAY = 800, 2  # rows of a delivery, and how many deliveries later their labels have come: about an hour


def training(name: str, epochs: int = 1) -> TrainConfig:
    """The same for every model but the backbone, and for every strategy."""
    return TrainConfig(epochs=epochs, batch_size=256, lr=TUNED if name == BACKBONE else RATE, dense_lr=DENSE)


def model_of(name: str, logs: Logs) -> Model:
    """A click model of a size that fits the small worlds."""
    options = OPTIONS.get(name, {"width": 8, "hidden": LAYERS})
    return build(name, options, logs.fields, logs.numeric.shape[1])


def read(world: ClickWorld) -> tuple[Logs, Tensor]:
    """All days as logs, and the true chance of every row."""
    days = [world.day(number) for number in range(world.shape.days)]
    periods = torch.arange(len(days), dtype=torch.int32).repeat_interleave(world.shape.rows)
    values = torch.from_numpy(np.concatenate([day.values for day in days]))
    codes, born = zip(*(encode_ids(values[:, j], periods) for j in range(values.shape[1])), strict=True)
    names = ("user", "item", *(f"C{j + 1}" for j in range(2, values.shape[1])))
    numeric, label, times, chance = (
        torch.from_numpy(np.concatenate(part))
        for part in zip(*((day.numbers, day.label, day.times, day.chance) for day in days), strict=True)
    )
    return Logs(
        period=len(days) - 1, periods=periods, fields=names, rows=torch.stack(codes, 1), numeric=numeric.float(),
        label=label.float(), time=times, sizes=tuple(len(b) for b in born), born=tuple(born), seed=world.seed,
    ), chance  # fmt: skip


def quality(label: Tensor, predictions: Tensor) -> dict[str, float]:
    """AUC and LogLoss, the latter negated so that more is better."""
    return {"AUC": auc(label, predictions), "LogLoss": -float(logloss(label, predictions).mean())}


def replay(like: str, drift: float, seed: int) -> dict[str, Any]:
    """Every model under fine-tuning, every strategy on the backbone, every corrector on its days: quality by day."""
    whole, chance = read(ClickWorld(like, drift=drift, seed=seed, rows=ROWS))
    test = range(whole.period - TESTED + 1, whole.period + 1)
    labels = {day: whole.label[whole.periods == day] for day in range(ROOT + 1, whole.period + 1)}
    found = {"oracle": {day: quality(labels[day], chance[whole.periods == day]) for day in labels}}
    for name in ("LR", "FM", *DEEP):
        model = model_of(name, whole)
        weights = pretrain(model, FullRetrain(training(name, 2), begin="scratch"), logs_until(whole, ROOT))
        served, kept = predicted(model, FineTune(training(name)), weights, whole)
        found[name] = {day: quality(labels[day], p) for day, p in served.items()}
        if name == BACKBONE:
            base, begun, backbone, checkpoints = served, weights, model, kept
    fine, kind = FineTune(training(BACKBONE)), "drifting" if drift else "still"
    rivals: dict[str, Strategy] = {
        "no update": NoUpdate(), "KD": KD(fine, WEIGHT[kind]), "ReLoop": ReLoop(fine, ALPHA[kind])
    }  # fmt: skip
    before = {d: predict(backbone, checkpoints[d - 1], logs_until(whole, d).since(d)).sigmoid() for d in test}
    wrong: dict[str, float] = {}
    for name, strategy in rivals.items():
        served, _ = predicted(backbone, strategy, begun, whole)
        found[name] = {day: quality(labels[day], p) for day, p in served.items()}
        wrong |= {f"{name}, {part}": gain for part, gain in split_by_predecessor(before, base, served, labels).items()}
    found |= online(backbone, {day: checkpoints[day] for day in test}, whole, labels)
    found |= online_on_a_base_that_stays(backbone, checkpoints[ROOT + 1], whole, labels)
    days = {
        name: {m: [by_day[d][m] for d in sorted(by_day)] for m in ("AUC", "LogLoss")} for name, by_day in found.items()
    }
    return {"days": days, "wrong": wrong}


def predicted(
    model: Model, strategy: Strategy, weights: Weights, whole: Logs
) -> tuple[dict[int, Tensor], dict[int, Weights]]:
    """Probabilities of each day's rows before it was learned from, and the weights that gave them."""
    served, kept = {}, {}
    for checkpoint, _ in chain(model, strategy, weights, whole, whole.period, ROOT, time.process_time):
        day = checkpoint.period + 1
        served[day] = predict(model, checkpoint.weights, logs_until(whole, day).since(day)).sigmoid()
        kept[day] = checkpoint.weights
    return served, kept


def split_by_predecessor(
    before: Mapping[int, Tensor], base: Mapping[int, Tensor], other: Mapping[int, Tensor], labels: Mapping[int, Tensor]
) -> dict[str, float]:
    """Gain in LogLoss over the base on rows that the version before it predicts on the wrong side of 1/2, and on others.

    That version chooses the rows because it is neither of the two: rows where the base itself errs would flatter anyone.
    """
    gains = torch.from_numpy(
        np.concatenate([logloss(labels[d], base[d]) - logloss(labels[d], other[d]) for d in before])
    )
    wrong = torch.cat([(before[d] > 0.5) != (labels[d] > 0.5) for d in before])
    return {"wrong": float(gains[wrong].mean()), "right": float(gains[~wrong].mean())}


def online(
    model: Model, weights: Mapping[int, Weights], whole: Logs, labels: Mapping[int, Tensor]
) -> dict[str, dict[int, dict[str, float]]]:
    """The backbone's days again, corrected as labels come back: every day begins with nothing known."""
    line, memory = Recalibration("platt"), ReLoop2()
    found: dict[str, dict[int, dict[str, float]]] = {}
    tried: dict[str, dict[str, Corrector]] = {
        "recalibration": {"line": line}, "ReLoop2": {"memory": memory}, "both": {"line": line, "memory": memory},
    }  # fmt: skip
    for name, correctors in tried.items():
        found[name] = {}
        for day, own in weights.items():
            made = corrected(correctors, model, own, logs_until(whole, day).since(day), SLOT, DELAY)
            found[name][day] = quality(labels[day], made.corrected)
    return found


def online_on_a_base_that_stays(
    model: Model, own: Weights, whole: Logs, labels: Mapping[int, Tensor]
) -> dict[str, dict[int, dict[str, float]]]:
    """ReLoop2's own setting: a backbone that is not retrained for a week, and a memory that is kept from day to day."""
    independent = Sketch(planes=24 * 10)  # every array has planes of its own, as in the paper
    parts: dict[str, Corrector] = {
        "recalibration": Recalibration("platt"), "ReLoop2": ReLoop2(memory=independent), "counters": Counters(),
    }  # fmt: skip
    found: dict[str, dict[int, dict[str, float]]] = {"stays": {}}
    rows = logs_until(whole, whole.period).since(min(labels))
    for names in STACKS:
        made = corrected({name: parts[name] for name in names}, model, own, rows, SLOT, DELAY)
        key = f"stays, {' + '.join(names)}"
        found[key] = {}
        for day in labels:
            here = rows.periods == day
            found["stays"][day] = quality(labels[day], made.base[here])
            found[key][day] = quality(labels[day], made.corrected[here])
    return found


def findings(title: str, drift: float, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the issue wants to come out in one world."""

    def gap(a: str, b: str, metric: str) -> list[float]:
        return [float(np.mean(r["days"][a][metric][-TESTED:]) - np.mean(r["days"][b][metric][-TESTED:])) for r in runs]

    found = [
        finding(f"{title}: {deep} above {rival}, AUC", gap(deep, rival, "AUC"))
        for deep in DEEP
        for rival in ("LR", "FM")
    ]
    for metric in ("AUC", "LogLoss"):
        found += [finding(f"{title}: {a} above {b}, {metric}", gap(a, b, metric))
                  for a, b in (("KD", BACKBONE), ("ReLoop", BACKBONE), ("ReLoop", "KD"))]  # fmt: skip
    found += [
        finding(
            f"{title}: ReLoop's gain in LogLoss on rows the one before got wrong",
            [r["wrong"]["ReLoop, wrong"] for r in runs],
        ),
        finding(f"{title}: the same on the rows it got right", [r["wrong"]["ReLoop, right"] for r in runs]),
        finding(
            f"{title}: ReLoop's gain less KD's where the one before was wrong",
            [r["wrong"]["ReLoop, wrong"] - r["wrong"]["KD, wrong"] for r in runs],
        ),
    ]
    if drift:
        found += [finding(f"{title}, base stays: {a} above {b or 'the base'}, {metric}",
                          gap(f"stays, {a}", f"stays{b and ', ' + b}", metric))
                  for a, b in (("recalibration", ""), ("ReLoop2", "recalibration"), ("counters", "ReLoop2"),
                               ("recalibration + ReLoop2", "recalibration"), ("recalibration + counters", "recalibration"),
                               ("recalibration + ReLoop2 + counters", "recalibration + counters"))
                  for metric in ("AUC", "LogLoss")]  # fmt: skip
        found += [finding(f"{title}: {a} above {b}, {metric}", gap(a, b, metric)) for a, b, metric in (
            ("ReLoop2", BACKBONE, "LogLoss"), ("ReLoop2", BACKBONE, "AUC"), ("recalibration", BACKBONE, "LogLoss"),
            ("ReLoop2", "recalibration", "LogLoss"), ("both", "recalibration", "LogLoss"), ("both", "ReLoop2", "LogLoss"),
        )]  # fmt: skip
    else:
        equal = gap("ReLoop2", BACKBONE, "LogLoss")
        found.append(finding(f"{title}: ReLoop2 equals base within 0.002 LogLoss", equal, "equal", 0.002))
    return found


def run(worlds: Sequence[tuple[str, float]] = WORLDS) -> dict[str, object]:
    """All worlds; findings, and a picture of LogLoss over days for each."""
    found: list[dict[str, Any]] = []
    detail: dict[str, Any] = {}
    for like, drift in worlds:
        runs = over_seeds(replay, like, drift)
        title = f"{like}, {'drifting' if drift else 'still'}"
        found += findings(title, drift, runs)
        mean = {name: {m: np.mean([r["days"][name][m] for r in runs], axis=0) for m in ("AUC", "LogLoss")}
                for name in runs[0]["days"]}  # fmt: skip
        curves = {
            name: mean[name]["AUC"].tolist() for name in ("oracle", "LR", "FM", BACKBONE, "no update", "KD", "ReLoop")
        }
        days = [str(ROOT + 1 + k) for k in range(len(curves["oracle"]))]
        drawn = picture(f"worlds-clicks-{like}-{'drift' if drift else 'still'}",
                        f"Clicks like {like}'s, {'drifting' if drift else 'still'}: AUC, mean of {len(runs)} seeds",
                        "of each day's rows before anyone learned from them", curves, days, ("day", "AUC"))  # fmt: skip
        detail[title] = {"picture": drawn, "table": {
            name: {m: round(float(values[m][-TESTED:].mean()), 4) for m in values} for name, values in mean.items()
        }}  # fmt: skip
    return result("about click models, strategies and correctors", found, detail)


if __name__ == "__main__":
    print(run()["markdown"])
