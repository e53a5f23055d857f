"""The JSON report: everything that a bake-off found, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from nightloop.tasks.bakeoff.advice import advice
from nightloop.tasks.bakeoff.entrants import metrics_of
from nightloop.tasks.bakeoff.history import ReplayedPeriod
from nightloop.tasks.bakeoff.results import ResultRow, Results
from nightloop.tasks.bakeoff.run_result import CLICKS
from nightloop.tasks.bakeoff.splits import PeriodSplit
from nightloop.tasks.evaluation.paired_difference import Difference

MEASURES = (
    "seconds: wall-clock of learning one period, one thread, without reading and scoring; peak_memory: the most the "
    "cell's own process held (resident, pages of the shared history that it touched included) above what it held before "
    "it began; state: bytes of weights and memory of the last checkpoint, as safetensors"
)
FOOTING = (
    "Every entrant replays the same logs with the same vocabulary; those of one model and seed start from the same "
    "weights, and all are ranked against the same candidates, sampled once a period and seed."
)


@dataclass(frozen=True)
class BakeoffReport:
    """A finished bake-off: the results, the history, and the resolved specification."""

    results: Results
    replayed: tuple[ReplayedPeriod, ...]
    split: PeriodSplit
    kinds: tuple[str, ...]  # CLICKS alone if nothing is ranked
    against: tuple[str, ...]  # labels of strategies
    left_out: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: tuple[dict[str, JsonValue], ...]
    negatives: dict[str, int]  # by kind

    @property
    def names(self) -> dict[int, str]:
        """Periods by index."""
        return {period.period: period.name for period in self.replayed}

    @property
    def rivals(self) -> list[str]:
        """Entrants that others are compared with: by label, within the same model."""
        return [name for name, entrant in self.results.entrants.items() if entrant.label in self.against]


def rival_of(report: BakeoffReport, name: str, label: str) -> str | None:
    """The entrant of this label with the same model, if it finished; None for itself."""
    entrants = report.results.entrants
    pairs = [other for other, e in entrants.items() if (e.label, e.model) == (label, entrants[name].model)]
    return next((other for other in pairs if other != name and other in report.results.ran), None)


def json_document(report: BakeoffReport) -> dict[str, JsonValue]:
    """The whole record."""
    results, names = report.results, report.names
    return {
        "format": 2,
        "pipeline": results.plan.pipeline,
        "family": results.plan.family,
        "metric": results.metric,
        "equal_footing": FOOTING,
        "measures": MEASURES,
        "root": names.get(report.split.root, str(report.split.root)),
        "tune_periods": [names[p] for p in report.split.tune_periods if p in names],
        "test": [names[p] for p in results.test],
        "seeds": list(report.seeds),
        "history": [period.model_dump(mode="json") for period in report.replayed],
        "negatives": dict(report.negatives),
        "entrants": [
            {"name": name, "strategy": e.strategy.model_dump(mode="json"), "model": e.part.model_dump(mode="json")}
            for name, e in results.entrants.items()
        ],
        "leaderboard": {kind: [_line(report, line, kind) for line in results.lines(kind)] for kind in report.kinds},
        "curves": {
            kind: {line.name: {names[p]: v for p, v in line.curve.items()} for line in results.lines(kind)}
            for kind in report.kinds
        },
        "time": {
            name: [{"period": names[p], "history_rows": n, "seconds": s} for p, n, s in learning_times(report, name)]
            for name in results.ran
        },
        "cells": [
            {"entrant": name, "seed": ran.seed, **ran.outcome.model_dump(mode="json", exclude={"rows"})}
            for name, several in results.ran.items()
            for ran in several
        ],
        "failed": [
            {"entrant": name, "reason": reason} for name, reasons in results.failed.items() for reason in reasons
        ],
        "left_out": list(report.left_out),
        "tuning": list(report.trials),
        "advice": list(advice(report.results, report.kinds)),
    }


def _line(report: BakeoffReport, line: ResultRow, kind: str) -> dict[str, JsonValue]:
    results = report.results
    against: dict[str, JsonValue] = {}
    for label in report.against:
        rival = rival_of(report, line.name, label)
        if rival is not None:
            differences = {
                m: difference_as_json(results.versus(line.name, rival, kind, m)) for m in metrics_of(results.plan)
            }
            against[label] = {"rival": rival, "all_seeds_agree": results.agree(line.name, rival, kind), **differences}
    return {
        "entrant": line.name,
        "seeds": [ran.seed for ran in results.ran[line.name]],
        "means": dict(line.values),
        "sd_over_seeds": dict(line.spread),
        "baselines": against,
        "personalisation": dict(line.personal),
        "seconds_a_period": results.seconds(line.name),
        "peak_memory": results.working(line.name),
        "state": results.state(line.name),
    }


def difference_as_json(gap: Difference | None) -> JsonValue:
    """A difference as plain values; None if it was not measured."""
    if gap is None:
        return None
    return {"mean": gap.mean, "low": gap.low, "high": gap.high, "users": gap.users, "rows": gap.rows}


def learning_times(report: BakeoffReport, name: str) -> list[tuple[int, int, float]]:
    """Period, rows of history at its close, and the mean seconds of learning it."""
    seconds_by_period: dict[int, list[float]] = {}
    for ran in report.results.ran[name]:
        for period, seconds in ran.outcome.seconds.items():
            seconds_by_period.setdefault(period, []).append(seconds)
    rows = {p: sum(replayed.rows for replayed in report.replayed if replayed.period <= p) for p in seconds_by_period}
    return [(p, rows[p], sum(values) / len(values)) for p, values in sorted(seconds_by_period.items())]


def title_of(kind: str, negatives: int) -> str:
    """What a kind of candidates is called."""
    if kind == CLICKS:
        return "Leaderboard"
    how = "drawn uniformly" if kind == "uniform" else "drawn by popularity"
    return f"Against {negatives:,} candidates {how}"
