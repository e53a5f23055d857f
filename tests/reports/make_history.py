"""A made-up but realistic history of nights, for the reports' tests and for looking at the pictures."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import torch

from nightloop.tasks.record.entries import Act, Entry, draft_entry
from nightloop.tasks.record.manifest import (
    CHAMPION,
    ChampionRef,
    CheckpointRef,
    Manifest,
    PeriodLogs,
    PeriodValidation,
    StrategyScores,
    StrategyVerdict,
)
from nightloop.tasks.reports.history import History

STRATEGIES = ("AverageWeights", "FineTune", "FullRetrain", "NoUpdate")
GAINS = {"AverageWeights": 0.034, "FineTune": 0.022, "FullRetrain": 0.031, "NoUpdate": -0.004}


@dataclass(frozen=True)
class State:
    state: str
    reasons: tuple[str, ...] = ()


def sha(text: object) -> str:
    return f"{random.Random(str(text)).getrandbits(256):064x}"


def kept(strategy: str, period: int) -> CheckpointRef:
    return CheckpointRef(weights=sha(("w", strategy, period)), memory=sha(("m", strategy, period)))


def plan(strategies: tuple[str, ...] = STRATEGIES, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "pipeline": "books",
        "columns": {"user": "user", "item": "item", "time": "ts", "label": None},
        "ranking": {"negatives": 999, "k": [5, 10, 20]},
        "gate": {"metric": "auto"},
        "strategies": {s: {"use": s if s in GAINS else "FineTune", "options": {}} for s in strategies},
    }
    return {**made, **changes}


def means(rng: random.Random, level: float, rows: int) -> dict[str, float]:
    found: dict[str, float] = {"rows": float(rows), "rows/new_user": rows * 0.2, "rows/old_user": rows * 0.8}
    for k, scale in ((5, 0.8), (10, 0.9), (20, 1.0)):
        found[f"ndcg@{k}"] = level * scale
        found[f"recall@{k}"] = level * scale * 1.7
    for part, scale in (("new_user", 0.6), ("old_user", 1.1), ("new_item", 0.3), ("old_item", 1.05)):
        found[f"ndcg@20/{part}"] = level * scale + rng.uniform(-0.004, 0.004)
    return found


def night(index: int, previous: Manifest | None, strategies: tuple[str, ...] = STRATEGIES) -> Manifest:
    """One complete night of period `index`; FineTune is promoted at 4, AverageWeights at 8."""
    rng = random.Random(index)
    served = previous.champion if previous else None
    winner = {4: "FineTune", 8: "AverageWeights"}.get(index)
    winner = winner if winner is None or winner in strategies else strategies[-1]
    level = 0.17 + 0.012 * math.sin(index / 2) - 0.0006 * index
    scores = {}
    for s in strategies if previous else ():
        gain = GAINS.get(s, 0.01 + 0.002 * len(s) % 0.02) * (1 - math.exp(-index / 4))
        scores[s] = StrategyScores(
            blob=sha(("s", s, index)), means=means(rng, level + gain + rng.uniform(-0.004, 0.004), 560)
        )
    if served and scores:
        scores[CHAMPION] = scores[served.strategy]
    judged = {s: _judged(s, winner, index, rng) for s in scores if s not in (CHAMPION, served and served.strategy)}
    champion = ChampionRef(strategy=winner, period=index, checkpoint=kept(winner, index)) if winner else served
    if previous is None:
        champion = ChampionRef(strategy="NoUpdate", period=index, checkpoint=kept("NoUpdate", index))
    rows = 500 + int(120 * rng.random())
    warned = index in (6, 11)
    return Manifest(
        pipeline="books",
        period=index,
        name=f"2026-01-{index + 1:02d}",
        revision=1,
        previous=previous.hash if previous else None,
        outcome="complete",
        reason="",
        plan=plan(strategies),
        logs=(
            PeriodLogs(period=index, version=1, digest=sha(index), rows=rows, quarantined=rng.choice([0, 0, 3, 11])),
        ),
        validated=(
            PeriodValidation(
                verdict="warned" if warned else "passed",
                reasons=("warning: new_user_rate is 0.41; 0.11 to 0.32 was expected",) if warned else (),
                statistics={"rows": float(rows), "new_user_rate": 0.2},
                blob=sha(("v", index)),
            ),
        ),
        vocabulary=sha(("voc", index)),
        served=served,
        scores=scores,
        checkpoints={s: kept(s, index) for s in strategies},
        judged=judged,
        verdict="promote" if winner else "hold" if judged else "insufficient_evidence",
        champion=champion,
    )


def _judged(strategy: str, winner: str | None, index: int, rng: random.Random) -> StrategyVerdict:
    numbers: dict[str, Any] = {
        "effect": rng.uniform(-0.01, 0.03),
        "low": -0.004,
        "high": 0.035,
        "nights": 3,
        "rows": 1680,
    }
    if index >= 5:
        evidence = 80.0 if strategy == winner else 1.6 ** (index - 5) * (1 + len(strategy) % 3)
        numbers |= {"evidence": evidence, "needed": 54.8, "evidence_nights": index - 4, "nights_to_go": 3}
    if strategy == winner:
        return StrategyVerdict(
            verdict="promote",
            numbers=numbers,
            reasons=(
                "ndcg@20 is better by 0.021 (+11.9 %) over 3 nights; the 95 % interval [0.009, 0.033] leaves zero out",
            ),
        )
    if index == 7 and strategy == "FullRetrain":
        return StrategyVerdict(
            verdict="reject",
            numbers=numbers,
            reasons=("old items lose 9.1 %, more than the 5 % allowed", "ndcg@20 is better by 0.008 (+4.1 %)"),
        )
    return StrategyVerdict(verdict="hold", numbers=numbers, reasons=("the 95 % interval [-0.004, 0.035] holds zero",))


def blocked(whole: Manifest) -> Manifest:
    reason = "stops the night: rows is 3; 402 to 907 was expected from the last 9 nights that passed"
    logs = whole.logs[0].model_copy(update={"rows": 3, "quarantined": 41})
    found = PeriodValidation(verdict="blocked", reasons=(reason,), statistics={"rows": 3.0}, blob=sha("vb"))
    return whole.model_copy(
        update={
            "outcome": "blocked",
            "reason": reason,
            "scores": {},
            "checkpoints": {},
            "judged": {},
            "verdict": "insufficient_evidence",
            "champion": whole.served,
            "logs": (logs,),
            "validated": (found,),
            "vocabulary": None,
        }
    )


def chain(nights: int = 14, strategies: tuple[str, ...] = STRATEGIES) -> dict[int, Manifest]:
    found: dict[int, Manifest] = {}
    for index in range(nights):
        found[index] = night(index, found.get(index - 1), strategies)
    return found


def scored(rows: int, seed: int, shift: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    user = torch.randint(0, 120, (rows,), generator=generator)
    above = torch.randint(0, 200, (rows,), generator=generator)
    return {
        "user": user,
        "item": torch.arange(rows),
        "new_user": user > 100,
        "new_item": user > 110,
        "above": (above - shift).clamp(min=0).int(),
        "equal": torch.zeros(rows, dtype=torch.int32),
    }


def document() -> dict[str, Any]:
    """What validation keeps of a blocked night."""
    return {
        "verdict": "blocked",
        "reasons": [],
        "checks": [
            check("label_rate", "off", None, None, None, "not judged", "these logs have no label"),
            check("rows", "block", 3.0, 402.0, 907.0, "blocked"),
            check("new_user_rate", "warn", 0.41, 0.11, 0.32, "warned"),
            check("drift_item", "warn", 0.0831, None, 0.25, "passed"),
        ],
        "rules": [
            rule("null_user", "a user", 38, 4, None),
            rule("outside_period", "times of 2026-01-13", 3, 9, "2026-01-14T00:00:03"),
        ],
    }


def check(*values: Any) -> dict[str, Any]:
    keys = ("check", "severity", "observed", "least", "most", "verdict", "note")
    return dict(zip(keys, (*values, "")[:7], strict=True))


def rule(code: str, allowed: str, rows: int, arrival: int, value: str | None) -> dict[str, Any]:
    return {"rule": code, "allowed": allowed, "rows": rows, "examples": [{"arrival": arrival, "value": value}]}


def history(nights: int = 14) -> History:
    """Fourteen nights: 10 was mended, 12 is blocked, 13 stale, 14 missing; a rollback by hand after night 9."""
    manifests = chain(nights)
    manifests[10] = manifests[10].model_copy(update={"revision": 2})
    manifests[12] = blocked(manifests[12])
    states = {i: State("complete") for i in manifests}
    states[12] = State("blocked", manifests[12].validated[0].reasons)
    states[13] = State("stale", ("its predecessor 2026-01-13 is blocked",))
    states[14] = State("missing", ("no manifest",))
    return History(
        "books",
        manifests,
        states,
        {14: "2026-01-15"},
        log(manifests),
        notes(manifests),
        {12: document()},
        {i: {s: scored(560, i, int(200 * GAINS[s])) for s in STRATEGIES} for i in manifests if manifests[i].scores},
    )


def notes(manifests: dict[int, Manifest]) -> dict[int, Any]:
    costs = {"AverageWeights": 1.1, "FineTune": 1.0, "FullRetrain": 17.0, "NoUpdate": 0.001}
    return {
        i: {
            "seconds": {s: c * (1 + 0.05 * i) for s, c in costs.items()},
            "bytes": dict.fromkeys(costs, 4100000.0 + 100000.0 * i),
        }
        for i in manifests
    }


def log(manifests: dict[int, Manifest]) -> tuple[Entry, ...]:
    first = entry(manifests[0], "NoUpdate", "ada", "2026-01-02T08:12:00+00:00", "first champion", 1)
    gate = entry(manifests[4], "FineTune", "gate", "2026-01-06T02:03:11+00:00", "ndcg@20 +11.9 % over 3 nights", 2)
    again = entry(
        manifests[8], "AverageWeights", "gate", "2026-01-10T02:03:40+00:00", "ndcg@20 +4.2 % over 3 nights", 3
    )
    changes = {"number": 4, "action": "rollback", "by": "grace", "when": "2026-01-10T09:30:00+00:00", "at_period": 9}
    back = gate.model_copy(update={**changes, "reason": "complaints about stale lists"})
    return first, gate, again, back


def entry(manifest: Manifest, strategy: str, by: str, when: str, reason: str, number: int) -> Entry:
    made = draft_entry(manifest, strategy, Act(by, when, reason, manifest.period), forced=by != "gate")
    return made.model_copy(update={"number": number})
