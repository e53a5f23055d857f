"""History: everything a report shows, read from the store beforehand; and functions that derive facts from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.evaluation.summary import direction
from nightloop.tasks.plan.leading_metric import leading_metric
from nightloop.tasks.record.backfill_plan import State
from nightloop.tasks.record.entries import Entry
from nightloop.tasks.record.manifest import CHAMPION, ChampionRef, Manifest

CONTROL = "NoUpdate"

Notes = Mapping[str, Mapping[str, float]]  # "seconds" and "bytes", each by strategy or by step of the night
Scores = Mapping[str, Mapping[str, Numbers]]  # per-interaction results of one night, by strategy


@dataclass(frozen=True)
class History:
    """The chain of one pipeline and what belongs to it. All but the first two may be empty."""

    pipeline: str
    nights: Mapping[int, Manifest]  # current manifest by period index
    states: Mapping[int, State] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)  # of periods that have no manifest yet
    log: Sequence[Entry] = ()  # the promotion log, oldest first
    notes: Mapping[int, Notes] = field(default_factory=dict)
    validations: Mapping[int, Mapping[str, object]] = field(default_factory=dict)  # JSON of the validation blobs
    scored: Mapping[int, Scores] = field(default_factory=dict)  # for paired intervals, if they were read
    earlier: Mapping[int, Sequence[Manifest]] = field(
        default_factory=dict
    )  # what a repaired night replaced, oldest first
    later: int = 0  # periods after all of these that are missing, too many to be listed


def periods(history: History) -> list[int]:
    """Every period there is something to say about, oldest first."""
    return sorted({*history.nights, *history.states})


def name(history: History, index: int) -> str:
    """The period's name, or its index if it has no name."""
    night = history.nights.get(index)
    return night.name if night else history.names.get(index, f"period {index}")


def state(history: History, index: int) -> tuple[str, tuple[str, ...]]:
    """The period's state and its reasons; from the manifest alone if `states` lacks it."""
    current = history.states.get(index)
    if current:
        return current.state, current.reasons
    night = history.nights.get(index)
    return ("missing", ()) if night is None else (night.outcome, reasons(night))


def reasons(night: Manifest) -> tuple[str, ...]:
    """The reasons that validation or the operator gave for the night."""
    return (*((night.reason,) if night.reason else ()), *(r for v in night.validated for r in v.reasons))


def scored_nights(history: History) -> list[int]:
    """Periods of complete nights that have scores, oldest first; the root has none."""
    return [i for i in sorted(history.nights) if history.nights[i].outcome == "complete" and history.nights[i].scores]


def strategies(history: History) -> list[str]:
    """Every strategy a night kept or scored, the control first, the rest by name."""
    names = {s for night in history.nights.values() for s in (*night.scores, *night.checkpoints)} - {CHAMPION}
    return sorted(names, key=lambda s: (s != control(history), s))


def control(history: History) -> str | None:
    """The strategy that never learns, by what the newest plan says; None if the plan has no such control."""
    for index in sorted(history.nights, reverse=True):
        parts = history.nights[index].plan.get("strategies")
        used = parts.items() if isinstance(parts, dict) else ()
        if controls := [s for s, part in used if isinstance(part, dict) and part.get("use") == CONTROL]:
            return min(controls)
    return None


def metric(history: History) -> str:
    """The metric the gate decides by, for example `ndcg@20`."""
    if not history.nights:
        return leading_metric("auto", False, ())
    plan = history.nights[max(history.nights)].plan
    gate, ranking, columns = (plan.get(part) for part in ("gate", "ranking", "columns"))
    requested = gate.get("metric", "auto") if isinstance(gate, dict) else "auto"
    labelled = isinstance(columns, dict) and bool(columns.get("label"))
    ks = ranking.get("k") if isinstance(ranking, dict) else None
    depths = [k for k in ks if isinstance(k, int)] if isinstance(ks, list | tuple) else []
    return leading_metric(str(requested), labelled, depths)


def metrics(history: History) -> list[str]:
    """Metrics of whole nights that any night has, the gate's first, no slices and no counts."""
    names = {m for night in history.nights.values() for s in night.scores.values() for m in s.means if "/" not in m}
    leading = metric(history)
    return [leading, *sorted(names - {leading, "rows", "positives"}, key=_natural)]


def better(name_of_metric: str, a: float, b: float) -> bool:
    """Whether `a` is a better value than `b`."""
    return direction(name_of_metric) * (a - b) > 0


def value(history: History, index: int, strategy: str, name_of_metric: str) -> float | None:
    """The strategy's mean of the metric on that night, or None."""
    night = history.nights.get(index)
    score = night.scores.get(strategy) if night and night.outcome == "complete" else None
    return score.means.get(name_of_metric) if score else None


def serving(history: History, index: int) -> ChampionRef | None:
    """The champion that served the period; None for the root and for nights that are missing."""
    night = history.nights.get(index)
    return night.served if night else None


def serving_strategy(history: History) -> str | None:
    """The strategy that serves now: by the promotion log, or by the chain if there is no log (a bake-off)."""
    if history.log:
        return history.log[-1].strategy
    newest = history.nights[max(history.nights)].champion if history.nights else None
    return newest.strategy if newest else None


def served_value(history: History, index: int, name_of_metric: str) -> float | None:
    """The metric of what was really served: of the champion's own checkpoint if it was scored, else of its strategy."""
    champion_value = value(history, index, CHAMPION, name_of_metric)
    served = serving(history, index)
    if champion_value is not None or served is None:
        return champion_value
    return value(history, index, served.strategy, name_of_metric)


def _natural(name_of_metric: str) -> tuple[str, int]:
    word, _, k = name_of_metric.partition("@")
    return word, int(k) if k.isdigit() else 0
