"""The leaderboard: every strategy over all scored nights, what it costs, and how certain the differences are."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import JsonValue

from nightloop.tasks.evaluation.paired_difference import Difference
from nightloop.tasks.evaluation.summary import SLICES
from nightloop.tasks.reports import history as h
from nightloop.tasks.reports.format import count, number, seconds, signed, size
from nightloop.tasks.reports.standings import Standing, standings
from nightloop.tasks.reports.table import Cell, Table, difference_cell

MARK = "◆"


def leaderboard(history: h.History) -> Table:
    """The standings as a table; the title says who leads."""
    metric, names, rows = h.metric(history), h.metrics(history)[1:], standings(history)
    champion = h.serving_strategy(history)
    slices = [s for s in SLICES if any(f"{metric}/{s}" in r.means for r in rows)]
    words = [f"{metric} {part.replace('_', ' ')}" for part in slices]
    costs = ("seconds a night", "checkpoint")
    head = ("strategy", "nights", metric, "vs control", "vs champion", "wins", *costs, *words, *names)
    lines = tuple(_line(r, rows, [metric, *names], slices, champion) for r in rows)
    return Table(_title(rows, metric), head, lines, _note(rows, metric), frozenset(range(1, len(head))))


def records(history: h.History) -> list[dict[str, JsonValue]]:
    """The standings as plain values, for `--json`."""
    return [asdict(standing) for standing in standings(history)]


def _line(
    s: Standing, rows: list[Standing], names: list[str], slices: list[str], champion: str | None
) -> tuple[Cell, ...]:
    values = [Cell(number(s.means.get(m)), "best" if m in s.means and _leads(s, rows, m) else "") for m in names]
    parts = [Cell(number(s.means.get(f"{names[0]}/{part}"))) for part in slices]
    name = Cell(
        s.strategy + (f" {MARK}" if s.strategy == champion else ""), "best" if s is rows[0] and s.nights else ""
    )
    costs = Cell(seconds(s.seconds)), Cell(size(s.bytes))
    gaps = _gap(s.versus_control), _gap(s.versus_champion)
    return name, Cell(count(s.nights)), values[0], *gaps, Cell(count(s.wins)), *costs, *parts, *values[1:]


def _leads(s: Standing, rows: list[Standing], metric: str) -> bool:
    if metric == "calibration":
        return False
    own, others = s.means[metric], [r.means[metric] for r in rows if metric in r.means]
    return not any(other < own if metric == "ece" else h.better(metric, other, own) for other in others)


def _gap(versus: Difference | float | None) -> Cell:
    if isinstance(versus, float):
        return Cell(signed(versus), "", "mean of the nights' differences; no interval at hand")
    return difference_cell(versus)


def _title(rows: list[Standing], metric: str) -> str:
    ranked = [r for r in rows if metric in r.means]
    if not ranked:
        return "No strategy has been scored yet"
    if len(ranked) == 1:
        return f"{ranked[0].strategy} is alone: {metric} {number(ranked[0].means[metric])}"
    a, b = ranked[0].means[metric], ranked[1].means[metric]
    if a == b:
        return f"{ranked[0].strategy} and {ranked[1].strategy} are level: {metric} {number(a)}"
    return f"{ranked[0].strategy} leads with {metric} {number(a)}; {ranked[1].strategy} follows with {number(b)}"


def _note(rows: list[Standing], metric: str) -> str:
    arrow = "lower" if h.better(metric, 0, 1) else "higher"
    several = len({r.nights for r in rows if r.nights}) > 1
    uneven = " Not all strategies have the same nights: trust the paired columns, which use shared nights." * several
    return (
        f"Means over all rows of all scored nights ({metric}: {arrow} is better). vs control and vs champion: "
        f"difference in {metric} on the same rows, plus is better, with a 95 % interval over users and nights if rows were "
        f"kept. "
        f"{MARK} serves.{uneven}"
    )
