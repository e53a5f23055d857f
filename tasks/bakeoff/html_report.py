"""The page of a bake-off: one self-contained HTML report; nothing is fetched, and every name in it is escaped."""

from __future__ import annotations

from dataclasses import replace

from nightloop.tasks.bakeoff import tables
from nightloop.tasks.bakeoff.advice import advice
from nightloop.tasks.bakeoff.json_report import FOOTING, MEASURES, BakeoffReport
from nightloop.tasks.bakeoff.plots import metric_picture, time_picture
from nightloop.tasks.reports.findings import Finding
from nightloop.tasks.reports.format import escape_html, plural
from nightloop.tasks.reports.html import finding_item, html_document, section
from nightloop.tasks.reports.plot_style import as_svg
from nightloop.tasks.reports.table import Mood, as_html


def page(bake: BakeoffReport) -> str:
    """The whole report. The same bake-off gives the same bytes."""
    board, sentences = bake.board, advice(bake.board, bake.kinds)
    bullets = [finding_item(Finding(_mood(sentence), sentence)) for sentence in sentences[1:]]
    parts = [
        f'<p class="kicker">nightloop bake-off · {escape_html(board.plan.pipeline)}</p>',
        f"<h1>{escape_html(sentences[0], 400)}</h1>",
        f"<p>{escape_html(_what(bake), 600)}</p>",
        f'<ul class="findings">{"".join(bullets)}</ul>',
    ]
    if board.ran:
        parts += [*(_table(bake, kind) for kind in bake.kinds), *_pictures(bake)]
        parts.append(
            section("Every metric, every difference, old and new", "".join(_details(bake, kind) for kind in bake.kinds))
        )
    if bake.trials:
        parts.append(section("What was tried", as_html(tables.tuning_table(bake))))
    parts.append(section("Entrants", f'<div class="wrap">{as_html(tables.entrants_table(bake))}</div>'))
    parts.append(f"<footer><p>{escape_html(FOOTING, 600)}</p><p>{escape_html(MEASURES, 800)}.</p></footer>")
    return html_document(f"bake-off of {board.plan.pipeline}: {sentences[0]}", parts)


def _table(bake: BakeoffReport, kind: str) -> str:
    shown = tables.leaderboard(bake, kind)
    note = shown.note if kind == bake.kinds[0] else ""  # shown once
    return section(shown.title, as_html(replace(shown, title="", note=note)))


def _details(bake: BakeoffReport, kind: str) -> str:
    rivals = [table for label in bake.against if (table := tables.rival_table(bake, label, kind))]
    shown = [tables.metrics_table(bake, kind), *rivals, tables.slice_table(bake, kind)]
    opened = " open" if kind == bake.kinds[0] else ""
    title = escape_html(tables.leaderboard(bake, kind).title)
    return f"<details{opened}><summary>{title}</summary>{''.join(map(as_html, shown))}</details>"


def _pictures(bake: BakeoffReport) -> list[str]:
    plots = [*(metric_picture(bake, kind) for kind in bake.kinds), time_picture(bake)]
    return ["<h2>Curves</h2>", *(f'<figure tabindex="0">{as_svg(plot)}</figure>' for plot in plots if plot)]


def _what(bake: BakeoffReport) -> str:
    names, board = bake.names, bake.board
    rows = sum(period.rows for period in bake.lived if period.period in board.test)
    tuned = f"; options were chosen on {plural(len(bake.span.tune_periods), 'period')} before" if bake.trials else ""
    return (
        f"{plural(len(board.entrants), 'entrant')}, {plural(len(bake.seeds), 'seed')}; pre-trained up to "
        f"{names.get(bake.span.root, '')}, tested on {names[board.test[0]]} to {names[board.test[-1]]} "
        f"({plural(len(board.test), 'period')}, {rows:,} rows), each scored before anyone learned from it{tuned}."
    )


def _mood(sentence: str) -> Mood:
    if " failed: " in sentence or sentence.startswith("All runs failed"):
        return "bad"
    if sentence.startswith(("No entrant surely", "No learner", "Next to nothing", "Measured on")):
        return "warn"
    return "good" if sentence.startswith("The cheap choice") else ""
