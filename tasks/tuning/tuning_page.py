"""The page of a tuning: one self-contained HTML report with a plot and a table of what was tried for each strategy."""

from __future__ import annotations

from collections.abc import Sequence

from nightloop.tasks.evaluation.summary import direction
from nightloop.tasks.reports import plot_style as d
from nightloop.tasks.reports.findings import Finding
from nightloop.tasks.reports.format import escape_html, number, plural, seconds
from nightloop.tasks.reports.html import finding_item, html_document, section
from nightloop.tasks.reports.plot_style import as_svg
from nightloop.tasks.reports.table import Cell, Table, as_html
from nightloop.tasks.tuning.search import SettingTrial
from nightloop.tasks.tuning.spaces import setting_name
from nightloop.tasks.tuning.tuning_result import TunedStrategy, TuningResult, strategy_in_words, value_in_words

MOST = 60  # trials of a strategy in the table, the best first


def tuning_page(result: TuningResult) -> str:
    """The whole report. The same tuning gives the same bytes, seconds aside."""
    title = tuning_headline(result)
    found = (Finding("good" if one.settings else "", strategy_in_words(one)) for one in result.strategies)
    parts = [
        f'<p class="kicker">nightloop tune · {escape_html(result.plan.pipeline)}</p>',
        f"<h1>{escape_html(title, 400)}</h1>",
        f"<p>{escape_html(how_it_was_found(result), 800)}</p>",
        f'<ul class="findings">{"".join(map(finding_item, found))}</ul>',
    ]
    for one in result.strategies:
        figure = f'<figure tabindex="0">{as_svg(plot_trials(one))}</figure>'
        table = f'<div class="wrap">{as_html(trials_table(one))}</div>'
        parts.append(section(f"What was tried: {one.label}", figure + table))
    return html_document(f"tuning of {result.plan.pipeline}: {title}", parts)


def tuning_headline(result: TuningResult) -> str:
    """What tuning gained, in a sentence."""
    better = [one for one in result.strategies if one.settings]
    if not better:
        return "No setting that was tried is better than those of the plan"
    best = max(better, key=lambda one: one.relative)
    return f"Tuning improves {best.label}'s {best.search.metric} by {best.relative:.1%} on periods that the search never saw"


def how_it_was_found(result: TuningResult) -> str:
    """Which periods were used for what."""
    names, periods = result.names, result.periods
    search, check = ([names[p] for p in several if p in names] for several in (periods.search, periods.check))
    return (
        f"{plural(result.trials, 'setting')} tried. Each was pre-trained on {plural(periods.pretrain, 'period')} and judged by "
        f"{result.metric} on {_span(search)}, each period scored before it was learned. The choice was checked on "
        f"{_span(check)}, which the search never saw; it is used only if it is better there too."
    )


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def plot_trials(one: TunedStrategy) -> d.Plot:
    """Every trial's value in the order in which it was tried, and the best so far."""
    search, sign = one.search, direction(one.search.metric)
    trials = [search.own, *search.trials]
    best, steps = None, []
    for trial in trials:
        if trial.value is not None and (best is None or sign * trial.value > sign * best):
            best = trial.value
        steps.append(best if best is not None else float("nan"))
    title = f"{one.label}: {search.metric} {number(search.own.value)} with the plan's settings, {number(best)} with the best"
    arrow = "lower" if sign < 0 else "higher"
    subtitle = f"{search.metric} on the periods of the search, trial by trial ({arrow} is better)"
    figure, axes = d.canvas(title, subtitle, 0.17)
    ended = [(j, trial.value) for j, trial in enumerate(trials) if trial.value is not None]
    stopped = [
        (j, trial.running[max(trial.running)]) for j, trial in enumerate(trials) if trial.stopped and trial.running
    ]
    axes.plot(range(len(steps)), steps, color=d.PALETTE[0], linewidth=1.8, drawstyle="steps-post")
    axes.scatter([j for j, _ in ended], [v for _, v in ended], color=d.PALETTE[0], s=16, zorder=3)
    axes.scatter([j for j, _ in stopped], [v for _, v in stopped], color=d.GREY, s=18, marker="x", zorder=3)
    ends = [d.End(steps[-1], "best so far", d.PALETTE[0], "-")] if best is not None else []
    if search.own.value is not None:
        axes.axhline(search.own.value, color=d.PALETTE[1], linewidth=1.2, linestyle=d.DASHES[1])
        ends.append(d.End(search.own.value, "the plan's settings", d.PALETTE[1], d.DASHES[1]))
    if stopped:
        ends.append(d.End(min(v for _, v in stopped), "x: stopped early", d.GREY, "-"))
    d.style_axes(axes, [str(j) for j in range(len(trials))], search.metric)
    axes.set_xlabel("trial; 0 is the plan's settings", color=d.INK, size=9.5)
    d.label_ends(axes, ends)
    return d.Plot(f"tuning-{one.label}", figure, f"{title}; {plural(len(search.trials), 'trial')}.")


def trials_table(one: TunedStrategy) -> Table:
    """The trials, the best first; those that ended early or failed come last."""
    sign = direction(one.search.metric)
    trials = list(enumerate([one.search.own, *one.search.trials]))
    trials.sort(key=lambda pair: (pair[1].value is None, -sign * (pair[1].value or 0.0), pair[0]))
    rows = tuple(_row(j, trial, one) for j, trial in trials[:MOST])
    hidden = len(trials) - len(rows)
    note = f"By {one.search.metric} on the periods of the search." + (
        f" {hidden} more are not shown." if hidden else ""
    )
    places = list(one.search.searched.space)
    head = ("trial", one.search.metric, "", *(setting_name(place, one.label) for place in places), "learning")
    return Table("", head, rows, note, frozenset({0, 1, *range(3, len(head))}))


def _row(place: int, trial: SettingTrial, one: TunedStrategy) -> tuple[Cell, ...]:
    chosen = bool(one.settings) and trial.settings == one.settings
    words = "chosen" if chosen else "the plan's" if place == 0 else ""
    if trial.failed:
        words = f"failed: {trial.failed}"
    elif trial.stopped:
        words = f"stopped early at {number(trial.running[max(trial.running)])}"
    values = (Cell(value_in_words(trial.settings[name])) for name in one.search.searched.space)
    return (
        Cell(str(place)), Cell(number(trial.value)), Cell(words, "good" if chosen else "quiet"), *values,
        Cell(seconds(trial.seconds)),
    )  # fmt: skip
