"""Check: read a sample of the logs that a plan names, before any night."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from nightloop.flows.run_names import run_name
from nightloop.tasks.artifacts import show_markdown
from nightloop.tasks.check import check as checked
from nightloop.tasks.orchestration import flow
from nightloop.tasks.reports.format import escape_markdown
from nightloop.tasks.reports.sample_lines import problems, sample_lines
from nightloop.tasks.resources import read_plan_form


@flow("check", run_name)
def check(plan: str = "simulated", whole: bool = False) -> dict[str, Any]:
    """Read up to 100,000 rows of the first, a middle and the newest file, and say what is in them. Nothing is written.

    Of a source without files, such as a database, the rows of the first period are read.

    Args:
        plan: Name of a plan (name@... is the plan as it was deployed), or the path of a YAML file.
        whole: Read every row of every file, or of the first period.
    """
    loaded_plan, now = read_plan_form(plan), datetime.now(UTC)
    sample = checked(loaded_plan, whole)
    lines, wrong = sample_lines(loaded_plan, sample, now), problems(sample, now)
    listed = "\n".join(f"- {escape_markdown(line, 2000)}" for line in lines)
    show_markdown(f"{loaded_plan.pipeline}-check", f"The logs of {loaded_plan.pipeline}", listed)
    document = asdict(sample) | {"verdict": {"verdict": sample.verdict.verdict, "reasons": sample.verdict.reasons}}
    return {
        "pipeline": loaded_plan.pipeline,
        "sound": not wrong,
        "stops": sample.verdict.verdict == "blocked",
        "problems": wrong,
        "sample": document,
        "text": lines,
    }
