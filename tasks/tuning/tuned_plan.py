"""Tuned plan: the plan with the chosen settings, as a new file beside the one that a person wrote."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from nightloop.tasks.plan.atomic_file import is_generated, write_generated
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.plan.safe_text import safe_text

HEAD = "# Written by `nightloop tune`; an edited file is not replaced."


def tuned_path(source: Path, writable: bool, plans: Path) -> Path:
    """`shop.tuned.yaml` beside `shop.yaml`; in the directory of plans if that of the source cannot be written to.

    The version in the name of a deployed plan, `shop@...`, is left out.
    """
    return (source.parent if writable else plans) / f"{source.stem.partition('@')[0]}.tuned.yaml"


def refuse_edited(path: Path) -> None:
    """Raise PlanError if the file exists and a person wrote or edited it, or if it is no regular file."""
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise PlanError(f"out: {path} is not a regular file; give another path")
    if path.exists() and not is_generated(path, HEAD):
        raise PlanError(f"{path} was edited, and tuning would replace it: move it away, or give another file (--out)")


def follow_tuned(plan: Plan, tuned: Plan, labels: list[str]) -> Plan:
    """The tuned plan, in which parts within other strategies that were the same as a tuned one follow it."""
    changes = [(plan.strategies[label], tuned.strategies[label]) for label in labels]
    strategies = {
        label: part if label in labels else Part(use=part.use, options=_followed(part.options, changes))
        for label, part in tuned.strategies.items()
    }
    return tuned.model_copy(update={"strategies": strategies})


def _followed(value: Any, changes: list[tuple[Part, Part]]) -> Any:
    if isinstance(value, list | tuple):
        return [_followed(inner, changes) for inner in value]
    for old, new in changes:
        options = value.get("options") or {} if isinstance(value, Mapping) else {}
        if (isinstance(value, Mapping) and value.get("use") == old.use and options == old.options) or (
            value == old.use and not old.options
        ):
            return new.model_dump(mode="json")
    if not isinstance(value, Mapping):
        return value
    return {name: inner if name == "use" else _followed(inner, changes) for name, inner in value.items()}


def tuned_document(raw: Mapping[str, Any], tuned: Plan, pipeline: str) -> dict[str, JsonValue]:
    """The plan as its file has it, with the tuned parts and the name of its pipeline."""
    document = copy.deepcopy(dict(raw))
    document["pipeline"] = pipeline
    parts = {"model": tuned.model, "pretrain": tuned.pretrain}
    document |= {name: part.model_dump(mode="json", exclude_defaults=True) for name, part in parts.items()}
    document["strategies"] = {
        label: part.model_dump(mode="json", exclude_defaults=True) for label, part in tuned.strategies.items()
    }
    return document


def write_tuned_plan(path: Path, document: Mapping[str, Any], notes: list[str]) -> None:
    """Write the plan, with notes on what was tried as comments. Raises PlanError if a person edited the file."""
    refuse_edited(path)
    write_generated(path, HEAD, document, "".join(f"# {' '.join(safe_text(note).split())}\n" for note in notes))
