"""The page of a bake-off: one self-contained HTML report; nothing is fetched, and every name in it is escaped."""

from __future__ import annotations

from dataclasses import replace

from nightloop.tasks.bakeoff import tables
from nightloop.tasks.bakeoff.advice import advice
from nightloop.tasks.bakeoff.json_report import FOOTING, MEASURES, BakeoffReport
from nightloop.tasks.bakeoff.plots import plot_metric, plot_time
from nightloop.tasks.reports.findings import Finding
from nightloop.tasks.reports.format import escape_html, plural
from nightloop.tasks.reports.html import finding_item, html_document, section
from nightloop.tasks.reports.plot_style import as_svg
from nightloop.tasks.reports.table import Mood, as_html


def page(report: BakeoffReport) -> str:
    """The whole report. The same bake-off gives the same bytes."""
    results, sentences = report.results, advice(report.results, report.kinds)
    bullets = [finding_item(Finding(_mood(sentence), sentence)) for sentence in sentences[1:]]
    parts = [
        f'<p class="kicker">nightloop bake-off · {escape_html(results.plan.pipeline)}</p>',
        f"<h1>{escape_html(sentences[0], 400)}</h1>",
        f"<p>{escape_html(_describe(report), 600)}</p>",
        f'<ul class="findings">{"".join(bullets)}</ul>',
    ]
    if results.ran:
        parts += [*(_table(report, kind) for kind in report.kinds), *_draw_plots(report)]
        details = "".join(_details(report, kind) for kind in report.kinds)
        parts.append(section("Every metric, every difference, old and new", details))
    if report.trials:
        parts.append(section("What was tried", as_html(tables.tuning_table(report))))
    parts.append(section("Entrants", f'<div class="wrap">{as_html(tables.entrants_table(report))}</div>'))
    parts.append(f"<footer><p>{escape_html(FOOTING, 600)}</p><p>{escape_html(MEASURES, 800)}.</p></footer>")
    return html_document(f"bake-off of {results.plan.pipeline}: {sentences[0]}", parts)


def _table(report: BakeoffReport, kind: str) -> str:
    shown = tables.leaderboard(report, kind)
    note = shown.note if kind == report.kinds[0] else ""  # shown once
    return section(shown.title, as_html(replace(shown, title="", note=note)))


def _details(report: BakeoffReport, kind: str) -> str:
    rivals = [table for label in report.against if (table := tables.rival_table(report, label, kind))]
    shown = [tables.metrics_table(report, kind), *rivals, tables.slice_table(report, kind)]
    opened = " open" if kind == report.kinds[0] else ""
    title = escape_html(tables.leaderboard(report, kind).title)
    return f"<details{opened}><summary>{title}</summary>{''.join(map(as_html, shown))}</details>"


def _draw_plots(report: BakeoffReport) -> list[str]:
    plots = [*(plot_metric(report, kind) for kind in report.kinds), plot_time(report)]
    return ["<h2>Curves</h2>", *(f'<figure tabindex="0">{as_svg(plot)}</figure>' for plot in plots if plot)]


def _describe(report: BakeoffReport) -> str:
    names, results = report.names, report.results
    rows = sum(period.rows for period in report.replayed if period.period in results.test)
    tuned = (
        f"; options were chosen on {plural(len(report.split.tune_periods), 'period')} before" if report.trials else ""
    )
    return (
        f"{plural(len(results.entrants), 'entrant')}, {plural(len(report.seeds), 'seed')}; pre-trained up to "
        f"{names.get(report.split.root, '')}, tested on {names[results.test[0]]} to {names[results.test[-1]]} "
        f"({plural(len(results.test), 'period')}, {rows:,} rows), each scored before anyone learned from it{tuned}."
    )


def _mood(sentence: str) -> Mood:
    if " failed: " in sentence or sentence.startswith("All runs failed"):
        return "bad"
    if sentence.startswith(("No entrant surely", "No learner", "Next to nothing", "Measured on")):
        return "warn"
    return "good" if sentence.startswith("The cheap choice") else ""
