"""Options: what several verbs of the console script take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from nightloop.flows.cli.login import choose_prefect


def check_form(plan: str) -> str:
    """Refuse a plan that is missing or malformed, before slow imports. Called by the argument."""
    from nightloop.tasks.plan.load import read_form
    from nightloop.tasks.resources import plan_file

    read_form(plan_file(plan))
    return plan


PLAN = Annotated[
    str,
    typer.Argument(
        help="Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.",
        callback=check_form,
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; logs go to stderr.")]
What = Literal["missing", "failed", "missing and failed", "stale", "all"]  # failed is short for missing and failed
Candidates = Literal["", "uniform", "popular", "both"]  # empty: as the spec says
PREFECT = Annotated[
    bool | None,
    typer.Option(
        "--prefect/--no-prefect",
        help="Whether Prefect runs it and shows it in its UI; default: only if PREFECT_API_URL is set. The record is the same.",
        callback=choose_prefect,
    ),
]
REASON = Annotated[str, typer.Option(help="Why, in words; it is kept in the record. Needed.")]
