"""Status: the period grid, the leaderboard, which checkpoint serves and why, as text or as one JSON document."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from nightloop.tasks.plan.errors import PlanError, error_message
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.backfill_plan import changed_fields
from nightloop.tasks.record.entries import current_pin, served_on
from nightloop.tasks.record.open_night import refuse_changed_plan
from nightloop.tasks.report import publish
from nightloop.tasks.reports import grid, leaderboard
from nightloop.tasks.reports.findings import findings, headline
from nightloop.tasks.reports.history import History
from nightloop.tasks.reports.load_history import read_history
from nightloop.tasks.reports.stored_report import read_report, report_key
from nightloop.tasks.reports.table import as_rich
from nightloop.tasks.resources import open_lake_to_read, open_store, open_store_to_read, read, read_plan_form
from nightloop.tasks.schedule import newest_shown, refuse_other_periods

WIDTH = 190  # characters, if the terminal does not say


def status(plan: str, on: str = "") -> dict[str, Any]:
    """The state of a pipeline. With `on` (a date or time): which checkpoint served then, and why."""
    loaded_plan, now = read_plan_form(plan), datetime.now(UTC)
    last = newest_shown(loaded_plan, now)
    if on[:4].isdigit() and on.strip() > now.isoformat():
        raise PlanError(f"on: given {on[:40]}, which is still to come; it is {now:%Y-%m-%dT%H:%M} UTC")
    refusal = _store_refusal()  # before the lake: beside a store that was restored in part no catalog may begin
    with open_lake_to_read(loaded_plan) as warehouse:
        history = read_history(open_store_to_read(), warehouse, loaded_plan, last)
    if on.strip():
        return _served_status(loaded_plan, history, on.strip())
    findings_to_do = [
        {"text": f.text, "to_do": f.todo}
        for f in findings(history, refusal or _plan_refusal(plan, loaded_plan, history))
    ]
    pin = current_pin(history.log)
    page = _place_of_report(loaded_plan.pipeline)
    return {
        "pipeline": loaded_plan.pipeline,
        "headline": headline(history),
        "findings": findings_to_do,
        "nights": grid.grid_records(history),
        "missing_later": history.later,
        "leaderboard": leaderboard.records(history),
        "champion": history.log[-1].model_dump(mode="json") if history.log else None,
        "pinned": pin.model_dump(mode="json") if pin else None,
        "report": page or None,
        "text": _text(history, findings_to_do, page),
    }


def report(plan: str) -> dict[str, Any]:
    """Write the report to this machine. It is taken from the store, or drawn again if something happened since."""
    loaded_plan = read_plan_form(plan)
    path = Path(publish(loaded_plan, newest_shown(loaded_plan, datetime.now(UTC)))).resolve()
    stored = _place_of_report(loaded_plan.pipeline)
    text = f"{loaded_plan.pipeline}: file://{path}"
    return {"pipeline": loaded_plan.pipeline, "path": str(path), "report": stored, "text": text}


def _place_of_report(pipeline: str) -> str:
    """Where the store keeps the report: a path or a URL; empty if there is none."""
    place = Settings().store_place
    if not read_report(open_store_to_read(), pipeline)[0]:
        return ""
    return f"{place if '://' in place else Path(place).resolve()}/{report_key(pipeline)}"


def _store_refusal() -> str:
    """Why no night can write to the store; empty if one can."""
    try:
        open_store()
    except OSError as error:
        return f"No night can run here: {error_message(error)}"
    return ""


def _plan_refusal(given: str, plan: Plan, history: History) -> str:
    """Why no night can run under the plan as it is now. Empty if one can, as far as is known without reading logs."""
    newest = history.nights[max(history.nights)] if history.nights else None
    if newest is not None and not changed_fields(newest.plan, plan):
        return ""  # its plug-ins were checked when that night ran, and checking takes seconds
    try:
        read(given)
        refuse_other_periods(plan)
        refuse_changed_plan(plan, newest, "the next night")
    except (ValueError, LookupError, OSError) as error:
        return f"No night runs under this plan: {error}"
    return ""


def _served_status(plan: Plan, history: History, on: str) -> dict[str, Any]:
    entry = served_on(history.log, on)
    if entry is None:
        return {
            "pipeline": plan.pipeline,
            "on": on,
            "served": None,
            "text": f"{on}, by the clock of the promotions: nothing of {plan.pipeline} served yet",
        }
    reason = f"{entry.action} number {entry.number} by {entry.by}, {entry.when}: {entry.reason}"
    text = f"{on}, by the clock of the promotions: {entry.strategy} of {entry.name} served\n  {reason}\n  manifest {entry.manifest}"
    return {"pipeline": plan.pipeline, "on": on, "served": entry.model_dump(mode="json"), "text": text}


def _text(history: History, findings_to_do: list[dict[str, str]], page: str) -> str:
    out = io.StringIO()
    console = Console(file=out, width=max(WIDTH, Console().width), highlight=False, force_terminal=False, no_color=True)
    console.print(as_rich(grid.grid(history).newest(40)))
    console.print(as_rich(leaderboard.leaderboard(history).first(8)))
    found = [f"- {f['text']}" + (f"  To do: {f['to_do']}" if f["to_do"] else "") for f in findings_to_do]
    last = [_report_line(history.pipeline, page)] if page else []
    return out.getvalue() + "\n".join([headline(history), *found, *last])


def _report_line(pipeline: str, page: str) -> str:
    if "://" in page:  # no browser opens it there
        return f"report: {page}; to read it on this machine: nightloop report {as_given(pipeline)}"
    return f"report: file://{page}"
