"""Benchmark `worlds-ranking`: what SML and ASMG claim, in the worlds like Adressa and Yelp, five seeds of each.

A seed is a world and all luck of training in it. Every strategy begins at the same weights; the checkpoint of t - 1 is
ranked on t, 299 negatives a row, before anyone learns from t. Schedules were chosen on seed 100, which is not among the
five, from a few values each. SML and ASMG race in the papers' form and,
over the better of fine-tune and full retrain in that world, in the residual one. New means born after the root, as in
SML's figure 5; unseen what a period brings itself, of which nobody can have learned.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import Candidates, sample_candidates
from nightloop.tasks.evaluation.rank import Ranker, from_factors, from_weights, rank
from nightloop.tasks.evaluation.summary import per_interaction
from nightloop.tasks.meta.transfer import Form, Transfer
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.retraining.advance import pretrain
from nightloop.tasks.retraining.contract_data import encode_ids, logs_until
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.simulation.latent_world import Ints
from nightloop.tasks.sources.ranking_world import RankingWorld
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from tests.benchmarks.real_logs import chain
from tests.benchmarks.worlds import finding, over_seeds, picture, result

ROOT, TESTED = 5, 6  # the last period of the history folded in at once; periods at the end that count
METRIC, DEEP = "recall@20", "ndcg@20"
WORLDS = ("adressa", "yelp")
TUNED = {  # schedules of fine-tune, of full retrain and of SPMF: epochs and rate
    "adressa": ((20, 0.1), (5, 0.1), (10, 0.1)),
    "yelp": ((10, 0.1), (5, 0.1), (20, 0.02)),
}
FORMS: dict[str, Form] = {"adressa": "SML", "yelp": "SML-FC"}  # of the transfer over the better of the two controls
PARTS = ("old", "new", "unseen")  # rows by their user and item: neither born after the root, some, some in that period
Judged = dict[str, Tensor]  # per test row: METRIC, DEEP and the slices


def strategies(like: str) -> dict[str, Strategy]:
    """Who races in a world."""
    fine, full, mixed = (TrainConfig(epochs=e, batch_size=256, lr=rate, l2=0.03) for e, rate in TUNED[like])
    fine_tune, full_retrain = FineTune(fine), FullRetrain(full)
    better = fine_tune if like == "adressa" else full_retrain
    first = TrainConfig(epochs=1, batch_size=256, lr=0.03, optimizer="adam", l2=0.001)
    second = TrainConfig(epochs=1, batch_size=64, lr=0.003, l2=0.0001)
    sml = SML(learner_training=first, transfer_training=second, rounds=7, transfer=Transfer(hidden=64))
    over = SML(
        learner=better, transfer_training=second, rounds=3, transfer=Transfer(FORMS[like], hidden=64, residual=True)
    )
    asmg = ASMG(better, residual=True, training=TrainConfig(epochs=3, batch_size=256, lr=0.003))
    frozen = RankingWorld().shape[3] - ROOT - TESTED - 2  # tasks that are finished before the first test period
    return {
        "no update": NoUpdate(), "popularity": Popularity(1.0), "fine-tune": fine_tune,
        "full retrain": full_retrain, "SPMF": SPMF(4000, training=mixed),
        "SML": sml, "SML-N": replace(sml, train_on="same"), "SML-S": replace(sml, freeze=frozen),
        "SML over better": over, "SML-N over better": replace(over, train_on="same"),
        "SML-S over better": replace(over, freeze=frozen),
        "ASMG": ASMG(fine_tune), "ASMG over better": asmg,
    }  # fmt: skip


def read(world: RankingWorld) -> tuple[Logs, tuple[Ints, Ints]]:
    """All periods of a world as logs, and the world's number of every vocabulary row of users and items."""
    days = [world.takes(day) for day in range(world.shape[3])]
    periods = torch.arange(len(days), dtype=torch.int32).repeat_interleave(torch.tensor([len(d[0]) for d in days]))
    users, items, times = (torch.from_numpy(np.concatenate(column)) for column in zip(*days, strict=True))
    codes, born = zip(*(encode_ids(ids, periods) for ids in (users, items)), strict=True)
    numbers = []
    for ids, code, births in zip((users, items), codes, born, strict=True):
        known = torch.zeros(len(births), dtype=torch.int64)
        known[code] = ids
        numbers.append(known.numpy())
    return Logs(
        period=len(days) - 1, periods=periods, fields=("user", "item"), rows=torch.stack(codes, 1), born=tuple(born),
        numeric=torch.zeros(len(users), 0), label=torch.ones(len(users)), sizes=tuple(len(b) for b in born), time=times,
        seed=world.seed,
    ), (numbers[0], numbers[1])  # fmt: skip


def oracle(world: RankingWorld, numbers: tuple[Ints, Ints], period: int) -> Ranker:
    """The ranker that knows the world; who is not there that day comes last."""
    found = world.oracle(period)
    tables = []
    for ids, factors, known in zip(
        (found.users, found.items), (found.user_factors, found.item_factors), numbers, strict=True
    ):
        alive = np.array([int(name[1:]) for name in ids])
        place = np.searchsorted(alive, known).clip(max=len(alive) - 1)
        table = np.where((alive[place] == known)[:, None], factors[place], 0.0)
        table[alive[place] != known, -1] = -1e3
        tables.append(torch.from_numpy(table))
    tables[0][:, -1] = 1.0
    return from_factors(*tables)


def replay(like: str, seed: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Every strategy (or `only` some) in one world: quality by period and over the test's slices, CPU seconds by period."""
    world = RankingWorld(like, seed=seed)
    whole, numbers = read(world)
    model, hands = MF(width=8), {}
    for period in range(ROOT + 1, whole.period + 1):
        logs = logs_until(whole, period)
        hands[period] = sample_candidates(logs.since(period), logs.rows[logs.periods < period], Ranking(negatives=299))
    scratch = FullRetrain(TrainConfig(epochs=20, batch_size=256, lr=0.1, l2=0.03), begin="scratch")
    weights = pretrain(model, scratch, logs_until(whole, ROOT))
    best = {p: judged(oracle(world, numbers, p), hand) for p, hand in hands.items()}
    found = {"oracle": summary(best, [])}
    for name, strategy in strategies(like).items():
        if only and name not in only:
            continue
        rows, seconds = {}, []
        for checkpoint, took in chain(model, strategy, weights, whole, whole.period, ROOT, time.process_time):
            period = checkpoint.period + 1
            rows[period] = judged(from_weights(model.factors, checkpoint.weights), hands[period])
            seconds.append(took)
        found[name] = summary(rows, seconds[1:])
    return found


def judged(ranker: Ranker, hand: Candidates) -> Judged:
    """Each row's metrics, and what was new: since the root (`later`), in its own period (`now`)."""
    ranked, logs = rank(ranker, hand), hand.logs
    found = {metric: torch.from_numpy(per_interaction(ranked, metric)) for metric in (METRIC, DEEP)}
    born = torch.stack([logs.born[j][logs.rows[:, j]] for j in (0, 1)])
    return {**found, "later": (born > ROOT).any(0), "now": (born == logs.period).any(0)}


def summary(rows: Mapping[int, Judged], seconds: Sequence[float]) -> dict[str, Any]:
    """Plain numbers of one strategy; `sums` are of METRIC over the slices' rows, divided by all rows of the test."""
    test = {k: torch.cat([rows[p][k] for p in sorted(rows)[-TESTED:]]) for k in (METRIC, DEEP, "later", "now")}
    recall, later, now = test[METRIC], test["later"], test["now"]
    parts = dict(zip(PARTS, (~later, later & ~now, now), strict=True))
    return {
        METRIC: float(recall.mean()), DEEP: float(test[DEEP].mean()), "seconds": list(seconds),
        "curve": [float(rows[p][METRIC].mean()) for p in sorted(rows)],
        "sums": {name: float((recall * part).sum() / len(recall)) for name, part in parts.items()},
        "means": {name: float(recall[part].mean()) for name, part in parts.items()},
        "shares": {name: float(part.double().mean()) for name, part in parts.items()},
    }  # fmt: skip


def findings(like: str, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the issue wants to come out in one world."""

    def gap(a: str, b: str, metric: str = METRIC) -> list[float]:
        return [run[a][metric] - run[b][metric] for run in runs]

    def say(claim: str, differences: Sequence[float]) -> dict[str, Any]:
        return finding(f"{like}: {claim}", differences)

    worse, better = ("full retrain", "fine-tune") if like == "adressa" else ("fine-tune", "full retrain")
    found = [say(f"{better} above {worse}", gap(better, worse))]
    found += [say(f"SPMF above {worse}", gap("SPMF", worse)), say(f"{better} above SPMF", gap(better, "SPMF"))]
    for name in ("SML", "SML over better", "ASMG", "ASMG over better"):
        found += [say(f"{name} above {rival}", gap(name, rival)) for rival in (better, worse)]
    for form in ("", " over better"):
        found += [say(f"SML{form} above SML-{x}{form}", gap(f"SML{form}", f"SML-{x}{form}")) for x in "NS"]
        gains = [{k: run[f"SML{form}"]["sums"][k] - run["full retrain"]["sums"][k] for k in PARTS} for run in runs]
        claim = f"SML{form} gains over full retrain on rows of users or items born after the root"
        found += [
            say(claim, [g["new"] + g["unseen"] for g in gains]),
            say(
                f"{claim}, more than it gains or loses on others",
                [g["new"] + g["unseen"] - abs(g["old"]) for g in gains],
            ),
        ]

    def grown(run: Mapping[str, Any], name: str) -> float:
        seconds = run[name]["seconds"]
        return float(np.mean(seconds[-3:]) / np.mean(seconds[:3]))

    found += [
        say("seconds of full retrain grow (late over early, less 1)", [grown(r, "full retrain") - 1 for r in runs]),
        say("seconds of full retrain grow more than SML's", [grown(r, "full retrain") - grown(r, "SML") for r in runs]),
        finding(f"{like}: SML's seconds are flat (late over early within 20 % of 1)", [grown(r, "SML") - 1 for r in runs], "equal", 0.2),
    ]  # fmt: skip
    return found


def run(worlds: Sequence[str] = WORLDS) -> dict[str, object]:
    """All worlds; findings, and a picture of Recall@20 over periods for each."""
    found: list[dict[str, Any]] = []
    detail: dict[str, Any] = {}
    for like in worlds:
        runs = over_seeds(replay, like)
        found += findings(like, runs)
        names = list(runs[0])
        curves = {name: np.mean([run[name]["curve"] for run in runs], axis=0).tolist() for name in names}
        periods = [str(ROOT + 1 + k) for k in range(len(curves["oracle"]))]
        title = f"A world like {like.capitalize()}: Recall@20 of every strategy, mean of {len(runs)} seeds"
        drawn = picture(
            f"worlds-{like}",
            title,
            "on each period's rows before anyone learned from them",
            curves,
            periods,
            ("period", "Recall@20"),
        )
        detail[like] = {
            "picture": drawn,
            "table": {name: {
                **{m: round(float(np.mean([r[name][m] for r in runs])), 4) for m in (METRIC, DEEP)},
                **{f"{METRIC}, {part}": round(float(np.mean([r[name]["means"][part] for r in runs])), 4)
                   for part in PARTS},
                "seconds": round(float(np.mean([np.mean(r[name]["seconds"] or 0) for r in runs])), 3),
            } for name in names},
            "share of rows": {k: round(float(np.mean([r["oracle"]["shares"][k] for r in runs])), 3)
                              for k in PARTS},
        }  # fmt: skip
    return result("about strategies in ranking worlds", found, detail)


if __name__ == "__main__":
    print(run()["markdown"])
