"""Standings: every strategy over all scored nights; means, wins, costs, and paired differences."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nightloop.tasks.evaluation.paired_difference import Difference, difference, holm
from nightloop.tasks.evaluation.summary import weighted_means
from nightloop.tasks.record.manifest import CHAMPION
from nightloop.tasks.reports import history as h


@dataclass(frozen=True)
class Standing:
    """One strategy's line: means over the rows of its scored nights, seconds and bytes as means over nights."""

    strategy: str
    nights: int
    wins: int  # nights on which no other was better; equals share them
    means: dict[str, float]  # by metric, slices as `metric/slice`
    seconds: float | None
    bytes: float | None
    versus_control: Difference | float | None  # against NoUpdate: with interval or the plain mean, plus is better
    versus_champion: Difference | float | None  # against what served each night


def standings(history: h.History) -> list[Standing]:
    """One standing a strategy, the best mean of the gate's metric first; those never scored last."""
    metric = h.metric(history)
    sign = -1.0 if h.better(metric, 0, 1) else 1.0
    items = _correct_together([_standing(history, strategy, metric) for strategy in h.strategies(history)])
    return sorted(items, key=lambda s: (metric not in s.means, -sign * s.means.get(metric, 0.0), s.strategy))


def _correct_together(items: list[Standing]) -> list[Standing]:
    """The intervals of each column, corrected for the number of strategies."""
    control = holm([s.versus_control if isinstance(s.versus_control, Difference) else None for s in items])
    champion = holm([s.versus_champion if isinstance(s.versus_champion, Difference) else None for s in items])
    return [
        replace(item, versus_control=one or item.versus_control, versus_champion=other or item.versus_champion)
        for item, one, other in zip(items, control, champion, strict=True)
    ]


def _standing(history: h.History, strategy: str, metric: str) -> Standing:
    nights = [i for i in h.scored_nights(history) if strategy in history.nights[i].scores]
    control = h.control(history)
    served = {i: c.strategy for i in nights if (c := h.serving(history, i))}
    rival = {i: CHAMPION if CHAMPION in history.nights[i].scores else name for i, name in served.items()}
    others = {i: control for i in nights if control is not None}
    return Standing(
        strategy,
        len(nights),
        sum(_is_best(history, i, strategy, metric) for i in nights),
        weighted_means([history.nights[i].scores[strategy].means for i in nights]),
        mean_note(history, "seconds", strategy),
        mean_note(history, "bytes", strategy),
        None if strategy == control else _versus(history, strategy, others, metric),
        _versus(history, strategy, rival, metric),
    )


def _is_best(history: h.History, index: int, strategy: str, metric: str) -> bool:
    scores = {s: v for s in history.nights[index].scores if (v := h.value(history, index, s, metric)) is not None}
    value = scores.get(strategy)
    others = [v for s, v in scores.items() if s not in (strategy, CHAMPION)]
    return value is not None and bool(others) and not any(h.better(metric, v, value) for v in others)


def mean_note(history: h.History, unit: str, strategy: str) -> float | None:
    """What a strategy's nights took on average (seconds, bytes), without the root, which trains nothing."""
    nights = [note for index, note in history.notes.items() if index != min(history.nights, default=-1)]
    values = [v for note in nights if (v := note.get(unit, {}).get(strategy)) is not None]
    return sum(values) / len(values) if values else None


def _versus(history: h.History, strategy: str, rival: dict[int, str], metric: str) -> Difference | float | None:
    others = {i: r for i, r in rival.items() if r != strategy}
    scored = [(history.scored.get(i, {}), r) for i, r in sorted(others.items())]
    pairs = [(rows[strategy], rows[r]) for rows, r in scored if {strategy, r} <= set(rows)]
    paired = difference(pairs, metric) if pairs and (metric in ("logloss", "auc") or "@" in metric) else None
    if paired:
        return paired
    nights = [(h.value(history, i, strategy, metric), h.value(history, i, r, metric)) for i, r in others.items()]
    gaps = [(a - b) * (-1 if h.better(metric, 0, 1) else 1) for a, b in nights if a is not None and b is not None]
    return sum(gaps) / len(gaps) if gaps else None
