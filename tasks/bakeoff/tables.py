"""Tables of a bake-off: the leaderboard, every metric against each rival, old and new, what was tried, what failed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from nightloop.tasks.bakeoff.entrants import metrics_of
from nightloop.tasks.bakeoff.json_report import BakeoffReport, rival_of, title_of
from nightloop.tasks.bakeoff.results import ResultRow
from nightloop.tasks.evaluation.summary import SLICES, direction
from nightloop.tasks.plan.leading_metric import CATALOGUE
from nightloop.tasks.reports.format import NONE, number, plural, seconds, size
from nightloop.tasks.reports.table import Cell, Table, as_rich, difference_cell

WIDTH = 160  # characters, if the terminal does not say
OF_PERSONAL = (
    " personal: the metric minus what it is when every user is given the mean user vector, zero for a list that "
    "all share."
)
OF_CATALOGUE = " catalogue: ranked against every item seen so far, not a sample of them."


def leaderboard(report: BakeoffReport, kind: str) -> Table:
    """One row an entrant, the best first; those that failed come last, with their reason."""
    results, metric = report.results, report.results.metric
    lines = results.lines(kind)
    personal = any(line.personal for line in lines)
    head = (
        "entrant", metric, *(f"vs {label}" for label in report.against), *(("personal",) if personal else ()),
        *(name.replace("_", " ") for name in _of_catalogue(report, kind)), "seconds a period", "peak memory", "state",
    )  # fmt: skip
    rows = [_row(report, line, kind, personal, line is lines[0]) for line in lines]
    rows += [
        (Cell(name), Cell("failed", "bad", reasons[0]), *(Cell(NONE, "quiet") for _ in head[2:]))
        for name, reasons in results.failed.items()
        if name not in results.ran
    ]
    title = title_of(kind, report.negatives.get(kind, 0))
    return Table(title, head, tuple(rows), _note(report, personal), frozenset(range(1, len(head))))


def metrics_table(report: BakeoffReport, kind: str) -> Table:
    """Every metric of every entrant."""
    names = [*metrics_of(report.results.plan), *_extra(report, kind)]
    lines = report.results.lines(kind)
    rows = tuple((Cell(line.name), *(_mean(line, m, lines) for m in names)) for line in lines)
    spread = " ± is the standard deviation over seeds." if len(report.seeds) > 1 else ""
    return Table("Every metric", ("entrant", *names), rows, f"Means over all rows of all test periods.{spread}",
                 frozenset(range(1, len(names) + 1)))  # fmt: skip


def rival_table(report: BakeoffReport, label: str, kind: str) -> Table | None:
    """Every metric's paired difference against one rival; None if no entrant can be compared with it."""
    names = metrics_of(report.results.plan)
    rows = []
    for line in report.results.lines(kind):
        rival = rival_of(report, line.name, label)
        if rival is not None:
            gaps = (report.results.versus(line.name, rival, kind, metric) for metric in names)
            rows.append((Cell(line.name), *map(difference_cell, gaps)))
    note = (
        "Differences on the same rows, plus is better, with 95 % intervals over users and nights, which hold together for all "
        "entrants of a column (Holm). Green and red: the interval excludes zero."
    )
    table = Table(f"Against {label}", ("entrant", *names), tuple(rows), note, frozenset(range(1, len(names) + 1)))
    return table if rows else None


def slice_table(report: BakeoffReport, kind: str) -> Table:
    """The leading metric on new and old users and items."""
    metric, lines = report.results.metric, report.results.lines(kind)
    slices = [s for s in SLICES if any(f"{metric}/{s}" in line.values for line in lines)]
    rows = tuple((Cell(line.name), *(_mean(line, f"{metric}/{s}", lines) for s in slices)) for line in lines)
    words = tuple(s.replace("_", " ") + "s" for s in slices)
    note = "New: seen for the first time in the period that is scored, so that no entrant can have learned of it."
    return Table(f"{metric} of new and old users and items", ("entrant", *words), rows, note,
                 frozenset(range(1, len(slices) + 1)))  # fmt: skip


def tuning_table(report: BakeoffReport) -> Table:
    """Everything that was tried, the choice marked."""
    rows = tuple(
        (
            Cell(str(trial["entrant"])),
            Cell(str(trial["words"])),
            Cell(number(value) if isinstance(value := trial["value"], float) else f"failed: {trial['failed']}"),
            Cell("chosen" if trial["chosen"] else "", "good"),
        )
        for trial in report.trials
    )
    where = plural(len(report.split.tune_periods), "period")
    note = f"Chosen by {report.results.metric} on {where} before the test, which no trial has seen."
    return Table("", ("entrant", "options", report.results.metric, ""), rows, note, frozenset({2}))


def entrants_table(report: BakeoffReport) -> Table:
    """What each entrant is made of."""
    rows = tuple(
        (Cell(name), Cell(_part(e.strategy.use, e.strategy.options)), Cell(_part(e.part.use, e.part.options)))
        for name, e in report.results.entrants.items()
    )
    return Table("", ("entrant", "strategy", "model"), rows, " ".join(f"Left out: {text}." for text in report.left_out))


def _row(report: BakeoffReport, line: ResultRow, kind: str, personal: bool, leads: bool) -> tuple[Cell, ...]:
    results, metric = report.results, report.results.metric
    rivals = [(label, rival_of(report, line.name, label)) for label in report.against]
    gaps = [difference_cell(results.versus(line.name, r, kind, metric) if r else None) for _, r in rivals]
    personal_value = number(line.personal.get(metric)).replace("-", "−")
    own = (Cell(personal_value, "", "the metric minus what it is with the mean user's list"),) if personal else ()
    short = len(results.ran[line.name]) < len(report.seeds)
    name = line.name + (f" ({len(results.ran[line.name])} of {len(report.seeds)} seeds)" if short else "")
    mean, *others = (_mean(line, m, results.lines(kind)) for m in (metric, *_of_catalogue(report, kind)))
    costs = seconds(results.seconds(line.name)), size(results.working(line.name)), size(results.state(line.name))
    return Cell(name, "best" if leads else ""), mean, *gaps, *own, *others, *map(Cell, costs)


def _mean(line: ResultRow, metric: str, lines: list[ResultRow]) -> Cell:
    if metric not in line.values:
        return Cell(NONE, "quiet")
    gaps = [direction(metric) * (line.values[metric] - o.values[metric]) for o in lines if metric in o.values]
    best = min(gaps) >= 0 and max(gaps) > 0
    spread = line.spread.get(metric)
    words = number(line.values[metric]) + (f" ± {number(spread)}" if spread is not None else "")
    return Cell(words, "best" if best else "")


def _extra(report: BakeoffReport, kind: str) -> list[str]:
    """Metrics that were measured besides, such as those of the whole catalogue."""
    standard = set(metrics_of(report.results.plan))
    keys = [key for line in report.results.lines(kind) for key in line.values if "/" not in key and key not in standard]
    return [key for key in dict.fromkeys(keys) if key not in ("calibration", "ece")]


def _of_catalogue(report: BakeoffReport, kind: str) -> list[str]:
    """NDCG and recall in the ranking of the whole catalogue, at the cut-off of the leading metric, if they were measured."""
    k = report.results.metric.partition("@")[2]
    names = [f"{CATALOGUE}{name}@{k}" for name in ("ndcg", "recall")]
    return [name for name in names if any(name in line.values for line in report.results.lines(kind))]


def _part(use: str, options: object) -> str:
    values = options if isinstance(options, dict) else {}
    return use + (f"({', '.join(f'{name} {value}' for name, value in values.items())})" if values else "")


def _note(report: BakeoffReport, personal: bool) -> str:
    results = report.results
    arrow = "lower" if direction(results.metric) < 0 else "higher"
    seeds = f", {plural(len(report.seeds), 'seed')}" + (" (± over seeds)" if len(report.seeds) > 1 else "")
    catalogue = any(_of_catalogue(report, kind) for kind in report.kinds if results.ran)
    extra = OF_PERSONAL * personal + OF_CATALOGUE * catalogue
    failed = "".join(f" {name} failed: {reasons[0]}." for name, reasons in results.failed.items())
    return (
        f"Means over all rows of {plural(len(results.test), 'test period')}{seeds}; {results.metric}: {arrow} is better. "
        "vs: the difference on the same rows within the same model, plus is better, 95 % interval over users and nights that "
        f"holds for all entrants at once (Holm); green and red exclude zero.{extra} "
        "Seconds are of learning, one thread; peak memory is the most a cell's own process "
        f"held above an idle one; state is weights and memory of the last checkpoint.{failed}"
    )


def bakeoff_in_words(report: BakeoffReport, advised: Sequence[str], page: str) -> str:
    """The bake-off for a terminal: the leaderboards, the advice, and where the page is."""
    out = io.StringIO()
    console = Console(file=out, width=max(WIDTH, Console().width), highlight=False, force_terminal=False, no_color=True)
    for kind in report.kinds if report.results.ran else ():
        shown = leaderboard(report, kind)
        console.print(as_rich(replace(shown, note=shown.note if kind == report.kinds[-1] else "")))
    return out.getvalue() + "\n".join([*(f"- {text}" for text in advised), f"report: file://{page}"])
