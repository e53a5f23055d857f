"""Plots of a bake-off: the metric over periods, and the time of a period against the length of history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nightloop.tasks.bakeoff.json_report import BakeoffReport, learning_times, title_of
from nightloop.tasks.bakeoff.run_result import CLICKS
from nightloop.tasks.evaluation.summary import direction
from nightloop.tasks.reports import plot_style as d
from nightloop.tasks.reports.format import count, seconds
from nightloop.tasks.reports.plots import Look, draw_lines, line_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def look_of(report: BakeoffReport) -> dict[str, Look]:
    """The same colour for an entrant in every plot; the one that never learns is grey."""
    still = report.results.of_use("NoUpdate")
    return line_styles(list(report.results.ran), still[0] if still else None)


def plot_metric(report: BakeoffReport, kind: str) -> d.Plot:
    """The leading metric of every entrant on every period, before it learned from it."""
    results, metric = report.results, report.results.metric
    lines = {line.name: line.curve for line in results.lines(kind)}
    periods = sorted({p for curve in lines.values() for p in curve})
    leader = next(iter(lines))
    arrow = "lower" if direction(metric) < 0 else "higher"
    won = sum(_leads(lines, leader, p, direction(metric)) for p in results.test)
    title = f"{leader} is ahead on {won} of {len(results.test)} test periods"
    against = "" if kind == CLICKS else f"; {title_of(kind, report.negatives.get(kind, 0)).lower()}"
    subtitle = f"{metric} on each period's rows before anyone learned from them ({arrow} is better){against}"
    figure, axes = d.canvas(title, subtitle)
    values = {name: [curve.get(p, math.nan) for p in periods] for name, curve in lines.items()}
    ends = draw_lines(axes, values, look_of(report))
    _shade(axes, [p in results.test for p in periods], [p in report.split.tune_periods for p in periods])
    d.style_axes(axes, [report.names[p] for p in periods], metric)
    d.label_ends(axes, ends)
    return d.Plot(f"bake-{kind}", figure, f"{title}; {metric} over {len(periods)} periods of {', '.join(lines)}.")


def plot_time(report: BakeoffReport) -> d.Plot | None:
    """Seconds of learning a period against the rows of history at its close; None if no entrant learns."""
    learners = [name for name in report.results.ran if name not in report.results.of_use("NoUpdate")]
    points_by_name = {n: [(rows, s) for _, rows, s in learning_times(report, n) if s > 0] for n in learners}
    points_by_name = {n: points for n, points in points_by_name.items() if any(s > 0.001 for _, s in points)}
    if not points_by_name:
        return None
    title = _growth(points_by_name)
    taken = [s for points in points_by_name.values() for _, s in points]
    wide = max(taken) > 20 * min(taken)
    subtitle = f"seconds of learning one period, one thread{', logarithmic scale' if wide else ''}"
    figure, axes = d.canvas(title, subtitle, 0.19)
    axes.set_yscale("log" if wide else "linear")
    look, ends = look_of(report), []
    for name, points in points_by_name.items():
        colour, dashes = look[name]
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=colour, linestyle=dashes, linewidth=1.8, marker="o", markersize=3.2)
        ends.append(d.End(ys[-1], name, colour, dashes))
    d.style_axes(axes, ["", ""], "learning a period")
    _rows_axis(axes, max(rows for points in points_by_name.values() for rows, _ in points))
    axes.yaxis.set_major_formatter(lambda v, _: seconds(v) if v else "0")
    if not wide:
        axes.set_ylim(0, None)
    d.label_ends(axes, ends)
    return d.Plot("bake-time", figure, title)


def _rows_axis(axes: Axes, most: int) -> None:
    axes.set_xlim(0, most * 1.02)
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(lambda v, _: count(v))
    axes.set_xlabel("rows of history at the close of the period", color=d.INK, size=9.5)


def _shade(axes: Axes, test: Sequence[bool], tuned: Sequence[bool]) -> None:
    """Periods that do not count for the leaderboard are grey, and say why."""
    for flags, word in ((tuned, "tuning"), ([not (a or b) for a, b in zip(test, tuned, strict=True)], "not counted")):
        places = [j for j, flag in enumerate(flags) if flag]
        for j in places:
            axes.axvspan(j - 0.5, j + 0.5, color=d.FAINT, alpha=0.5, linewidth=0, zorder=0)
        if places:
            d.grey_note(axes, places[0] - 0.4, 1.01, word)


def _leads(lines: Mapping[str, Mapping[int, float]], leader: str, period: int, sign: int) -> bool:
    values = [curve[period] for curve in lines.values() if period in curve]
    return period in lines[leader] and sign * lines[leader][period] >= max(sign * v for v in values)


def _growth(points_by_name: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Whose time grows with history, and how much; those that take next to no time are left out."""
    slowest = max(points_by_name, key=lambda name: _mean(points_by_name[name]))
    points_by_name = {
        name: points for name, points in points_by_name.items() if _mean(points) > _mean(points_by_name[slowest]) / 20
    }
    ends = {
        name: (_mean(points[:3]), _mean(points[-3:])) for name, points in points_by_name.items() if len(points) >= 6
    }
    grown = {name: last / first for name, (first, last) in ends.items() if first > 0}
    most = max(grown, key=lambda name: grown[name], default=None)
    if most is None or grown[most] < 1.3:
        return f"{slowest} takes longest, {seconds(_mean(points_by_name[slowest]))} a period; no time grows much with history"
    return f"{most}'s time grows with history: {seconds(ends[most][0])} a period at first, {seconds(ends[most][1])} at last"


def _mean(points: Sequence[tuple[int, float]]) -> float:
    return sum(s for _, s in points) / len(points)
