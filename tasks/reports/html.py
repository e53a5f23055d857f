"""The report: one self-contained HTML page that says what serves, what happened, and what to do; nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.reports import history as h
from nightloop.tasks.reports.findings import Finding, findings, headline
from nightloop.tasks.reports.format import LONGEST, NONE, count, escape_html, without_severity
from nightloop.tasks.reports.grid import grid
from nightloop.tasks.reports.leaderboard import leaderboard
from nightloop.tasks.reports.plot_style import as_svg
from nightloop.tasks.reports.plots import evidence_curve, metric_curve, seconds_curve, volume_bars
from nightloop.tasks.reports.table import Cell, Mood, Table, as_html
from nightloop.tasks.reports.validation import validation
from nightloop.tasks.reports.verdict import verdict

DETAILED = 30  # newest nights whose validation and verdict are shown in full; the older ones are in the store


def page(history: h.History) -> str:
    """The whole report. The same history gives the same bytes; every name in it is escaped."""
    title = f"{history.pipeline}: {headline(history)}"
    parts = [
        '<p class="kicker">nightloop · ' + escape_html(history.pipeline) + "</p>",
        f"<h1>{_code(headline(history), 400)}</h1>",
        f'<ul class="findings">{"".join(finding_item(f) for f in findings(history))}</ul>',
        *_plots(history),
        section("Leaderboard", as_html(leaderboard(history))),
        section("Nights", f'<div class="nights">{as_html(grid(history))}</div>'),
        section("Interventions and repairs", _wrapped(interventions(history))),
        section("Promotions and rollbacks", _wrapped(promotions(history))),
        section("Night by night: validation and verdict", _details(history)),
        f"<footer><p>{escape_html(_footer(history), 400)}</p></footer>",
    ]
    return html_document(title, parts)


def html_document(title: str, parts: Sequence[str]) -> str:
    """A whole page of these parts, which are HTML already; it may fetch nothing."""
    style = (files("nightloop.tasks.reports") / "report.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape_html(title, 200)}</title><style>{style}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def promotions(history: h.History) -> Table:
    """The promotion log, newest first: who, when, why, from and to."""
    moods: dict[str, Mood] = {"promote": "good", "rollback": "warn"}
    rows = tuple(
        (
            Cell(entry.when[:16].replace("T", " ")),
            Cell(entry.action, moods.get(entry.action, "")),
            Cell(f"{entry.strategy} of {h.name(history, entry.period)}"),
            Cell(entry.by + (", forced" if entry.forced else "")),
            Cell(entry.reason),
            Cell(entry.manifest[:12]),
        )
        for entry in reversed(history.log)
    )
    head = ("when", "action", "champion", "by", "why", "manifest")
    return Table("", head, rows, "" if rows else "Nothing has been promoted yet.")


def interventions(history: h.History) -> Table:
    """Every night that was blocked, skipped, accepted by hand or repaired, or is stale or missing; and why."""
    rows = []
    for index in h.periods(history):
        night = history.nights.get(index)
        state, reasons = h.state(history, index)
        words = [state] if state != "complete" else []
        words += ["accepted by hand"] if night and any(v.verdict == "overridden" for v in night.validated) else []
        words += [f"repaired, now revision {night.revision}"] if night and night.revision > 1 else []
        if words:
            rows += [_replaced(history, night) for night in history.earlier.get(index, ())]
            own = [night.reason] if night and night.reason and night.reason not in reasons else []
            why = "; ".join(map(without_severity, [*reasons, *own])) or NONE
            mood: Mood = "bad" if state == "blocked" else "warn" if state in ("stale", "missing") else ""
            rows.append((Cell(h.name(history, index)), Cell(", ".join(words), mood), Cell(why)))
    note = "" if rows else "No night was blocked, skipped, repaired or overridden."
    return Table("", ("night", "what", "why"), tuple(rows), note)


def _replaced(history: h.History, night: Manifest) -> tuple[Cell, Cell, Cell]:
    """A repaired night, as it was before."""
    mood: Mood = "bad" if night.outcome == "blocked" else ""
    words = f"revision {night.revision} was {night.outcome}"
    return Cell(h.name(history, night.period)), Cell(words, mood), Cell(without_severity(night.reason or NONE))


def _plots(history: h.History) -> list[str]:
    if not h.periods(history):
        return []
    quality = metric_curve(history) if h.scored_nights(history) else None
    plots = [quality, evidence_curve(history), seconds_curve(history), volume_bars(history)]
    return ["<h2>Curves</h2>", *(f'<figure tabindex="0">{as_svg(plot)}</figure>' for plot in plots if plot)]


def _details(history: h.History) -> str:
    newest = sorted(history.nights, reverse=True)[:DETAILED]
    hidden = len(history.nights) - len(newest)
    more = [f'<p class="note">{count(hidden)} older nights are kept in the store.</p>'] if hidden else []
    return "\n".join([*(_night(history, history.nights[i]) for i in newest), *more])


def _night(history: h.History, night: Manifest) -> str:
    judged = as_html(verdict(night)) if night.judged else ""
    detail = history.validations.get(night.period, {})
    tables = validation(night.name, night.validated[-1], detail) if night.validated else []
    checks = "".join(as_html(table) for table in tables)
    opened = " open" if night.outcome == "blocked" else ""
    summary = f"{night.name} · {night.outcome} · {night.verdict.replace('_', ' ')}"
    return (
        f'<details{opened}><summary>{escape_html(summary)}</summary><div class="wrap">{judged}{checks}</div></details>'
    )


def finding_item(finding: Finding) -> str:
    """A finding as a list item, with what to do about it."""
    todo = f"<span>{_code(finding.todo, 600)}</span>" if finding.todo else ""
    return f'<li class="{finding.mood}"><b>{_code(finding.text, 400)}</b>{todo}</li>'


def _code(text: str, longest: int = LONGEST) -> str:
    """Escaped text in which `commands` stand out."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape_html(text, longest))


def section(title: str, body: str) -> str:
    """A part of the page under a heading; `body` is HTML."""
    return f"<section><h2>{escape_html(title)}</h2>{body}</section>"


def _wrapped(table: Table) -> str:
    return f'<div class="wrap">{as_html(table)}</div>'


def _footer(history: h.History) -> str:
    if not history.nights:
        return "No night has been run."
    newest = history.nights[max(history.nights)]
    night = f"{newest.name}, revision {newest.revision}, {newest.hash[:16]}"
    return f"Made from {len(history.nights)} manifests; the newest is {night}."
