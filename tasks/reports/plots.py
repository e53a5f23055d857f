"""Plots: the metric and the seconds of every strategy night by night, and what came in and passed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from nightloop.tasks.reports import history as h
from nightloop.tasks.reports import plot_style as d
from nightloop.tasks.reports.format import count, join_words, number, plural, seconds
from nightloop.tasks.reports.standings import standings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Look = tuple[str, d.Dash]  # colour and dashes
MOST_DOTS = 45  # nights; with more the dots of a line run together
STATES = ("blocked", "skipped", "missing")
VERDICTS = {"passed": d.PALETTE[5], "warned": d.PALETTE[4], "overridden": d.PALETTE[3], "blocked": d.PALETTE[1]}


def line_styles(strategies: Sequence[str], control: str | None) -> dict[str, Look]:
    """The same colour for a strategy in every plot; the control is grey and dashed."""
    learned = [s for s in strategies if s != control]
    styles: dict[str, Look] = {
        s: (d.PALETTE[j % len(d.PALETTE)], d.DASHES[j // len(d.PALETTE) % len(d.DASHES)]) for j, s in enumerate(learned)
    }
    return {**styles, **({control: (d.GREY, (0, (4, 2)))} if control else {})}


def draw_lines(axes: Axes, lines: Mapping[str, Sequence[float]], look: Mapping[str, Look]) -> list[d.End]:
    """A line for each of these, with gaps where there is no value. Returns where they end, for `label_ends`."""
    ends = []
    for name, values in lines.items():
        colour, dashes = look[name]
        dots = "o" if len(values) <= MOST_DOTS else ""
        axes.plot(
            range(len(values)), values, color=colour, linestyle=dashes, linewidth=1.8, marker=dots, markersize=3.2
        )
        present = [v for v in values if v == v]
        ends += [d.End(present[-1], name, colour, dashes)] if present else []
    return ends


def metric_curve(history: h.History) -> d.Plot:
    """The gate's metric of every strategy, tested on each night before it trained on it; below, what served."""
    metric, nights = h.metric(history), _list_plotted_periods(history)
    arrow = "lower" if h.better(metric, 0, 1) else "higher"
    title = _title(history, metric)
    subtitle = f"{metric} on each night's rows before anyone learned from them ({arrow} is better)"
    figure, axes = d.canvas(title, subtitle, 0.20)
    look = line_styles(h.strategies(history), h.control(history))
    lines = {s: [math.nan if (v := h.value(history, i, s, metric)) is None else v for i in nights] for s in look}
    ends = draw_lines(axes, lines, look)
    _mark_states(axes, history, nights)
    d.style_axes(axes, [h.name(history, i) for i in nights], metric)
    axes.tick_params(labelbottom=False)
    d.label_ends(axes, ends)
    strip = figure.add_axes((d.LEFT, 0.145, d.WIDTH, 0.03))
    _draw_served(strip, history, nights, look)
    shown = f"{metric} of {join_words(list(look), 6)} over {plural(len(nights), 'night')}"
    return d.Plot("metric", figure, f"{title}. {shown}.")


def seconds_curve(history: h.History) -> d.Plot | None:
    """Training seconds of every strategy that trains; None if none was recorded."""
    nights = [i for i in _list_plotted_periods(history) if history.notes.get(i, {}).get("seconds")]
    look = line_styles(h.strategies(history), h.control(history))
    lines = {s: [history.notes[i]["seconds"].get(s, math.nan) for i in nights] for s in look if s != h.control(history)}
    lines = {s: [v if v > 0 else math.nan for v in values] for s, values in lines.items() if any(v > 0 for v in values)}
    if not lines:
        return None
    means = {s: float(np.nanmean(values)) for s, values in lines.items()}
    wide = max(means.values()) > 20 * min(means.values())
    title = _costliest(means)
    free = f"; {h.control(history)} trains nothing" if h.control(history) else ""
    figure, axes = d.canvas(title, f"seconds of training a night{', logarithmic scale' if wide else ''}{free}")
    axes.set_yscale("log" if wide else "linear")
    ends = draw_lines(axes, lines, look)
    if not wide:
        axes.set_ylim(0, 1.08 * max(v for values in lines.values() for v in values if v == v))
    axes.yaxis.set_major_formatter(lambda v, _: seconds(v) if v else "0")
    d.style_axes(axes, [h.name(history, i) for i in nights], "training time")
    d.label_ends(axes, ends)
    return d.Plot("seconds", figure, title)


def evidence_curve(history: h.History) -> d.Plot | None:
    """Evidence of every challenger night by night, as a part of what a promotion needs; None before there is any."""
    nights = _list_plotted_periods(history)
    look = line_styles(h.strategies(history), h.control(history))
    lines = {s: [_part_of_needed(history, i, s) for i in nights] for s in look}
    lines = {s: values for s, values in lines.items() if any(v == v for v in values)}
    if not lines:
        return None
    judged = (i for values in lines.values() for i, v in enumerate(values) if v == v)
    last = max(judged)  # the newest night that was
    title = _title_of_evidence({s: v for s, values in lines.items() if (v := values[last]) == v})
    subtitle = "evidence that a strategy is better than what serves, as a part of what a promotion needs"
    figure, axes = d.canvas(title, subtitle)
    axes.set_yscale("log")
    highest = max(v for values in lines.values() for v in values if v == v)
    axes.set_ylim(1e-3, max(3.0, 2 * highest))
    ends = draw_lines(axes, {s: [max(v, 1e-3) for v in values] for s, values in lines.items()}, look)
    axes.axhline(1.0, color=d.INK, linestyle=(0, (1, 1.5)), linewidth=1.2)
    _mark_states(axes, history, nights)
    axes.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    d.style_axes(axes, [h.name(history, i) for i in nights], "evidence / needed")
    d.label_ends(axes, [*ends, d.End(1.0, "enough", d.INK, (0, (1, 1.5)))])
    return d.Plot("evidence", figure, title)


def _part_of_needed(history: h.History, index: int, strategy: str) -> float:
    night = history.nights.get(index)
    judged = night.judged.get(strategy) if night else None
    evidence, needed = ((judged.numbers if judged else {}).get(key) for key in ("evidence", "needed"))
    if not isinstance(evidence, int | float) or not isinstance(needed, int | float):
        return math.nan
    return evidence / needed


def _title_of_evidence(newest: Mapping[str, float]) -> str:
    best = max(newest, key=lambda s: newest[s])
    if newest[best] >= 1:
        return f"There is enough evidence that {best} is better than what serves"
    part = "less than 1 %" if newest[best] < 0.01 else f"{newest[best]:.0%}".replace("%", " %")
    return f"No challenger has enough evidence; {best} has {part} of what is needed"


def volume_bars(history: h.History) -> d.Plot | None:
    """Rows of each night by verdict of validation, and the rows that were set aside; None before the first night."""
    nights = [i for i in sorted(history.nights) if history.nights[i].logs]
    if not nights:
        return None
    newest = [history.nights[i].logs[-1] for i in nights]
    verdicts = [history.nights[i].validated[-1].verdict if history.nights[i].validated else "passed" for i in nights]
    title = _volumes([logs.rows for logs in newest], verdicts)
    figure, axes = d.canvas(title, "rows that came in each night, by the verdict of validation")
    rows, aside = [logs.rows for logs in newest], [logs.quarantined for logs in newest]
    axes.bar(range(len(nights)), rows, 0.75, color=[VERDICTS[v] for v in verdicts])
    axes.bar(range(len(nights)), aside, 0.75, bottom=rows, color=d.INK)
    for x in (j for j, verdict in enumerate(verdicts) if verdict == "blocked"):  # its bar may have no height
        axes.axvspan(x - 0.5, x + 0.5, color=VERDICTS["blocked"], alpha=0.18, linewidth=0, zorder=0)
    axes.set_ylim(0, 1.08 * max(max(r + a for r, a in zip(rows, aside, strict=True)), 1))
    d.style_axes(axes, [h.name(history, i) for i in nights], "rows")
    keys = [(v, c) for v, c in VERDICTS.items() if v in verdicts] + [("set aside", d.INK)] * any(aside)
    for j, (word, colour) in enumerate(reversed(keys)):
        d.legend_entry(axes, 0.05 + 0.085 * j, word, 9)
        axes.text(1.012, 0.05 + 0.085 * j, "■", color=colour, size=12, va="center", transform=axes.transAxes)
    return d.Plot("volume", figure, title)


def _list_plotted_periods(history: h.History) -> list[int]:
    scored = h.scored_nights(history)
    return [i for i in h.periods(history) if scored and i >= scored[0]]


def _mark_states(axes: Axes, history: h.History, nights: Sequence[int]) -> None:
    """One grey area and one word for nights in a row that were not scored for the same reason."""
    states = enumerate(h.state(history, index)[0] for index in nights)
    for state, run in groupby(states, key=itemgetter(1)):
        places = [x for x, _ in run]
        if state in STATES:
            axes.axvspan(places[0] - 0.5, places[-1] + 0.5, color=d.FAINT, alpha=0.5, linewidth=0)
            d.grey_note(axes, (places[0] + places[-1]) / 2, 0.03, state, rotation=90)


def _draw_served(strip: Axes, history: h.History, nights: Sequence[int], look: Mapping[str, Look]) -> None:
    d.style_axes(strip, [h.name(history, i) for i in nights], "")
    names = [served.strategy if (served := h.serving(history, i)) else None for i in nights]
    runs = [j for j in range(len(names)) if j == 0 or names[j] != names[j - 1]]
    for start, end in pairwise([*runs, len(names)]):  # one bar for each champion: no seams
        if name := names[start]:
            strip.barh(0, end - start, 0.9, left=start - 0.5, color=look.get(name, (d.INK, "-"))[0], linewidth=0)
    strip.set_yticks([])
    strip.grid(False)
    d.legend_entry(strip, 0.5, "who served", 9)


def _title(history: h.History, metric: str) -> str:
    ranked = [s for s in standings(history) if metric in s.means]
    if not ranked:
        return "No night has been scored yet"
    scored = h.scored_nights(history)
    best, control = ranked[0], h.control(history)
    mean = f"a mean {metric} of {number(best.means[metric])}"
    if best.strategy == control:
        return f"No strategy beats {control}, which never learns ({metric} {number(best.means[metric])})"
    if len(ranked) == 1:
        return f"{best.strategy} reaches {mean}"
    return f"{best.strategy} leads with {mean}, best on {best.wins} of {plural(len(scored), 'night')}"


def _costliest(means: Mapping[str, float]) -> str:
    order = sorted((s for s in means if means[s] > 0), key=lambda s: -means[s])
    most, least = order[0], order[-1]
    if most == least:
        return f"{most} takes {seconds(means[most])} a night"
    ratio = means[most] / means[least]
    times = f"{ratio:.0f} times" if ratio >= 3 else f"{ratio:.1f} times"
    return f"{most} takes {seconds(means[most])} a night, {times} as long as {least}"


def _volumes(rows: Sequence[int], verdicts: Sequence[str]) -> str:
    odd = [f"{verdicts.count(v)} {v}" for v in ("blocked", "warned", "overridden") if verdicts.count(v)]
    least, most = count(min(rows)), count(max(rows))
    span = f"{least if least == most else f'{least} to {most}'} rows a night"
    nights = plural(len(rows), "night")
    return f"{span}; {join_words(odd)} of {nights}" if odd else f"{span}; all {nights} passed"
