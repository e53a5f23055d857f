"""The JSON report: everything that a bake-off found, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from nightloop.tasks.bakeoff.advice import advice
from nightloop.tasks.bakeoff.entrants import metrics_of
from nightloop.tasks.bakeoff.history import ReplayedPeriod
from nightloop.tasks.bakeoff.result import CLICKS
from nightloop.tasks.bakeoff.results import ResultRow, Results
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

    board: Results
    lived: tuple[ReplayedPeriod, ...]
    span: PeriodSplit
    kinds: tuple[str, ...]  # CLICKS alone if nothing is ranked
    against: tuple[str, ...]  # labels of strategies
    left_out: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: tuple[dict[str, JsonValue], ...]
    negatives: dict[str, int]  # by kind

    @property
    def names(self) -> dict[int, str]:
        """Periods by index."""
        return {period.period: period.name for period in self.lived}

    @property
    def rivals(self) -> list[str]:
        """Entrants that others are compared with: by label, within the same model."""
        return [name for name, entrant in self.board.entrants.items() if entrant.label in self.against]


def rival_of(bake: BakeoffReport, name: str, label: str) -> str | None:
    """The entrant of this label with the same model, if it finished; None for itself."""
    own_entrant = bake.board.entrants[name]
    for other, entrant in bake.board.entrants.items():
        if other != name and entrant.label == label and entrant.model == own_entrant.model and other in bake.board.ran:
            return other
    return None


def json_document(bake: BakeoffReport) -> dict[str, JsonValue]:
    """The whole record."""
    board, names = bake.board, bake.names
    return {
        "format": 2,
        "pipeline": board.plan.pipeline,
        "family": board.plan.family,
        "metric": board.metric,
        "equal_footing": FOOTING,
        "measures": MEASURES,
        "root": names.get(bake.span.root, str(bake.span.root)),
        "tune_periods": [names[p] for p in bake.span.tune_periods if p in names],
        "test": [names[p] for p in board.test],
        "seeds": list(bake.seeds),
        "history": [period.model_dump(mode="json") for period in bake.lived],
        "negatives": dict(bake.negatives),
        "entrants": [
            {"name": name, "strategy": e.strategy.model_dump(mode="json"), "model": e.part.model_dump(mode="json")}
            for name, e in board.entrants.items()
        ],
        "leaderboard": {kind: [_line(bake, line, kind) for line in board.lines(kind)] for kind in bake.kinds},
        "curves": {kind: {line.name: _name_periods(bake, line) for line in board.lines(kind)} for kind in bake.kinds},
        "time": {name: _times(bake, name) for name in board.ran},
        "cells": [
            {"entrant": name, "seed": ran.seed, **ran.outcome.model_dump(mode="json", exclude={"rows"})}
            for name, several in board.ran.items()
            for ran in several
        ],
        "failed": [{"entrant": name, "reason": reason} for name, reasons in board.failed.items() for reason in reasons],
        "left_out": list(bake.left_out),
        "tuning": list(bake.trials),
        "advice": list(advice(bake.board, bake.kinds)),
    }


def _line(bake: BakeoffReport, line: ResultRow, kind: str) -> dict[str, JsonValue]:
    board = bake.board
    against: dict[str, JsonValue] = {}
    for label in bake.against:
        rival = rival_of(bake, line.name, label)
        if rival is not None:
            differences = {
                m: difference_as_json(board.versus(line.name, rival, kind, m)) for m in metrics_of(board.plan)
            }
            against[label] = {"rival": rival, "all_seeds_agree": board.agree(line.name, rival, kind), **differences}
    return {
        "entrant": line.name,
        "seeds": [ran.seed for ran in board.ran[line.name]],
        "means": dict(line.values),
        "sd_over_seeds": dict(line.spread),
        "baselines": against,
        "personalisation": dict(line.personal),
        "seconds_a_period": board.seconds(line.name),
        "peak_memory": board.working(line.name),
        "state": board.state(line.name),
    }


def difference_as_json(gap: Difference | None) -> JsonValue:
    """A difference as plain values; None if it was not measured."""
    if gap is None:
        return None
    return {"mean": gap.mean, "low": gap.low, "high": gap.high, "users": gap.users, "rows": gap.rows}


def _name_periods(bake: BakeoffReport, line: ResultRow) -> dict[str, JsonValue]:
    return {bake.names[period]: value for period, value in line.curve.items()}


def _times(bake: BakeoffReport, name: str) -> list[JsonValue]:
    return [{"period": bake.names[p], "history_rows": rows, "seconds": s} for p, rows, s in learning_times(bake, name)]


def learning_times(bake: BakeoffReport, name: str) -> list[tuple[int, int, float]]:
    """Period, rows of history at its close, and the mean seconds of learning it."""
    seconds_by_period: dict[int, list[float]] = {}
    for ran in bake.board.ran[name]:
        for period, seconds in ran.outcome.seconds.items():
            seconds_by_period.setdefault(period, []).append(seconds)
    rows = {p: sum(replayed.rows for replayed in bake.lived if replayed.period <= p) for p in seconds_by_period}
    return [(p, rows[p], sum(values) / len(values)) for p, values in sorted(seconds_by_period.items())]


def title_of(kind: str, negatives: int) -> str:
    """What a kind of candidates is called."""
    if kind == CLICKS:
        return "Leaderboard"
    how = "drawn uniformly" if kind == "uniform" else "drawn by popularity"
    return f"Against {negatives:,} candidates {how}"
