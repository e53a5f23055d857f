"""Tuned: a short search for settings that suit a user's own file, before the demo's first night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nightloop.flows.demo.plans import HEADLINE, PRETRAINED
from nightloop.flows.tune import tune
from nightloop.tasks.plan.atomic_file import write_generated
from nightloop.tasks.plan.errors import NightloopError
from nightloop.tasks.plan.load import read_yaml

MINUTES = 1.0  # that the search may take
TRIALS = 40
STRATEGY = (
    "fine-tune"  # what others in the demo's plan are made of; the model and the pre-training are searched with it
)


def tune_own_plan(plan: Path) -> list[str]:
    """Search on the periods of the pre-training, and give the demo's plan the chosen settings. Returns what was gained.

    The nights that follow never were part of the search. If nothing can be found in the time, the plan stays as it is.
    """
    try:
        found = tune(str(plan), MINUTES, TRIALS, (STRATEGY,), end=str(PRETRAINED - 1))
    except NightloopError as error:
        return [f"the usual settings stay, because nothing could be tuned: {error}"]
    if found["plan"]:
        _take_over(plan, Path(found["plan"]))
    return [line for line in _lines(found) if "nightloop backfill" not in line]


def _take_over(plan: Path, tuned: Path) -> None:
    """Make the tuned plan the demo's own."""
    notes = "".join(line + "\n" for line in tuned.read_text(encoding="utf-8").splitlines()[1:] if line.startswith("#"))
    document: dict[str, Any] = read_yaml(tuned)
    write_generated(plan, HEADLINE, document, notes)
    tuned.unlink()


def _lines(found: dict[str, Any]) -> list[str]:
    return [line.removeprefix("- ") for line in str(found["text"]).splitlines()]
