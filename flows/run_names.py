"""Run names: what a run is called in the UI, from its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nightloop.flows.scheduled_time import scheduled_time
from nightloop.tasks.plan.load import STORED
from nightloop.tasks.reports.format import plain
from nightloop.tasks.resources import read_plan_form
from nightloop.tasks.schedule import newest_period, period_name

LONGEST = 200  # characters


def run_name(flow: str, parameters: Mapping[str, object]) -> str:
    """The flow, the plan's name without directories and version, and the parameters that select a part of it."""
    given = {name: str(value).strip() for name, value in parameters.items() if value is not None}
    plan = given.get("plan", "")
    plan = plan.partition("@")[0] if STORED.fullmatch(plan) else Path(plan).stem
    words = [given.get("strategy", ""), given.get("period", "")]
    if to := given.get("to", ""):
        words.append(f"to {to}")
    if "start" in given:  # a range, open at either end
        words.append(f"{given['start'] or 'root'} to {given['end'] or 'newest'}")
    words.append("(dry run)" if given.get("dry_run") == "True" else "")
    return plain(" ".join(word for word in (flow, plan, *words) if word), LONGEST)


def night_name(flow: str, parameters: Mapping[str, object]) -> str:
    """The name of a run. If no period was given, it is that of the scheduled time."""
    with suppress(Exception):  # the run itself reports what is wrong with the plan
        if not str(parameters.get("period") or "").strip():
            loaded_plan = read_plan_form(str(parameters["plan"]))
            return run_name(
                flow, {**parameters, "period": period_name(loaded_plan, newest_period(loaded_plan, scheduled_time()))}
            )
    return run_name(flow, parameters)
