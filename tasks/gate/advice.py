"""Advice: what an operator could change, told from many nights; it moves nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from nightloop.tasks.gate.bootstrap import student
from nightloop.tasks.gate.numbers import share
from nightloop.tasks.plan.errors import PlanError

NIGHTS = 5  # fewer nights in a row are no habit


@dataclass(frozen=True)
class Compared:
    """One night of one strategy beside the one that serves."""

    period: int
    gain: float  # in the metric, plus is better; the mean of the night's paired rows
    served: float  # the metric of the strategy that serves
    seconds: float  # that its retraining took
    seconds_served: float


def advice(incumbent: str, nights: Mapping[str, Sequence[Compared]], tolerance: float = 0.01) -> list[str]:
    """Sentences worth an operator's time, the largest saving first; none where nothing should change.

    A strategy is as good when, over its last unbroken run of nights that each lost no more than `tolerance` (relative),
    the mean loss is below `tolerance` too with 95 % confidence (Student's t over nights). Fewer than `NIGHTS` nights
    say nothing. `nights` are oldest first. Raises PlanError on a negative tolerance.
    """
    if tolerance < 0:
        raise PlanError(f"tolerance is {tolerance}; it is a relative loss, 0 or more")
    found = [
        said
        for name, seen in nights.items()
        if name != incumbent
        for said in _advised(incumbent, name, seen, tolerance)
    ]
    return [sentence for _, sentence in sorted(found, key=lambda pair: (-pair[0], pair[1]))]


def _advised(incumbent: str, name: str, seen: Sequence[Compared], tolerance: float) -> list[tuple[float, str]]:
    run = _matching(seen, tolerance)
    if len(run) < NIGHTS:
        return []
    relative = [night.gain / night.served if night.served else 0.0 for night in run]
    error = stdev(relative) / sqrt(len(run)) * student(0.05, len(run) - 1)
    mean, faster = fmean(relative), _ratio(run)
    if mean - error > 0:
        return [
            (faster, f"{name} has beaten {incumbent} by {share(mean)} over {len(run)} nights{_time(faster)}: switch?")
        ]
    if mean - error > -tolerance and faster > 1.5:
        return [(faster, f"{name} has matched {incumbent} for {len(run)} nights{_time(faster)}: switch?")]
    return []


def _matching(seen: Sequence[Compared], tolerance: float) -> list[Compared]:
    """The newest nights in a row that lost no more than the tolerance."""
    run: list[Compared] = []
    for night in reversed(seen):
        if night.gain < -tolerance * abs(night.served):
            break
        run.append(night)
    return run


def _ratio(run: Sequence[Compared]) -> float:
    mine, served = sum(night.seconds for night in run), sum(night.seconds_served for night in run)
    return served / mine if mine > 0 else 1.0


def _time(faster: float) -> str:
    if faster >= 1.5:
        return f" at 1/{faster:.0f} of the time" if faster >= 2 else " in less time"
    return f" at {1 / faster:.1f} times the time" if faster < 0.67 else ""
