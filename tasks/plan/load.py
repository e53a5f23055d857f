"""Load a plan from a YAML file. An error lists every mistake at once, with the legal values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nightloop.tasks.plan.errors import PlanError, mistake_message
from nightloop.tasks.plan.nearest import nearest
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.redact import redacted_head
from nightloop.tasks.plan.yaml_reader import read_mapping

WORDS = re.compile(r"[\w./@%+=:,~ -]{1,500}")  # texts that need no escapes in a terminal, in Markdown and in HTML
STORED = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})@[0-9a-f]{16}")  # the name of a plan that is kept in the store

_GIVEN: dict[str, str] = {}  # by pipeline: the name or path by which this process read the plan


def remember_name(plan: Plan, given: str) -> None:
    """Remember the name or path of the plan, so that advice uses the same one."""
    _GIVEN[plan.pipeline] = given


def as_given(pipeline: str) -> str:
    """The plan of a pipeline as an argument of a command: the name or path that this process used, else the pipeline."""
    given = _GIVEN.get(pipeline, pipeline)
    return shlex.quote(given) if WORDS.fullmatch(given) else "PLAN"


def find_plan(name: str, directories: Sequence[Path]) -> Path:
    """The file of a plan given by name (`simulated`) or by path. Raises FileNotFoundError that lists the names."""
    given = Path(name)
    if len(name) < 500 and (given.suffix in (".yaml", ".yml") or "/" in name) and given.is_file():
        return given
    plans = {p.stem: p for directory in reversed(directories) for p in sorted(directory.glob("*.yaml"))}
    if name in plans:
        return plans[name]
    raise FileNotFoundError(
        f"no plan {redacted_head(name, 80)!r}: give the path of a YAML file, or one of {', '.join(sorted(plans)) or 'none'} "
        f"(in {' and '.join(map(str, directories))})"
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a plan's file holds. Raises PlanError, which names the file (see `read_mapping`)."""
    return read_mapping(path, "a plan", ", ".join(Plan.model_fields))


def read_form(path: Path) -> Plan:
    """The plan in a file, as it is written. Its plug-ins and their options are not checked.

    Raises one PlanError that lists every mistake of form.
    """
    raw = read_yaml(path)
    raise_mistakes(path, form_mistakes(raw))
    return Plan.model_validate(raw)


def raise_mistakes(path: Path, mistakes: Sequence[str]) -> None:
    """Raise one PlanError that lists every mistake in the plan of this file; do nothing if there is none."""
    if mistakes:
        listed = "\n".join(f"  - {mistake}" for mistake in mistakes)
        raise PlanError(f"{path} has {len(mistakes)} mistake{'s' * (len(mistakes) > 1)}:\n{listed}")


def form_mistakes(raw: Mapping[str, Any]) -> list[str]:
    """Every mistake of form in a plan, one sentence each; empty if `Plan` accepts it."""
    try:
        Plan.model_validate(raw)
    except ValidationError as error:
        return [_sentence(e) for e in error.errors(include_url=False) if _is_relevant(raw, e["loc"])]
    return []


def _is_relevant(raw: Mapping[str, Any], where: tuple[Any, ...]) -> bool:
    """Whether an error is about the kind of periods that the plan uses: periods of equal counts have `rows`."""
    periods = raw.get("periods")
    if where[:1] != ("periods",) or len(where) < 2 or not isinstance(periods, Mapping):
        return True
    return bool(("rows" in periods) == (where[1] == "Counts"))


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if not _period_kind(part))
    given = redacted_head(repr(error.get("input")), 80)
    if error["type"] in ("extra_forbidden", "invalid_key"):
        legal = _allowed(error["loc"])
        return f"{where}: unknown field{nearest(str(error['loc'][-1]), legal)}; allowed here: {', '.join(legal)}"
    if error["type"] == "missing":
        return f"{where}: missing"
    return f"{where or 'plan'}: {mistake_message(error)} (given: {given})"


def _period_kind(part: object) -> str:
    """`Calendar` or `Counts` if a part of an error's location names a kind of periods (pydantic may wrap it); else empty."""
    return next((kind for kind in ("Calendar", "Counts") if str(part) == kind or f", {kind}]" in str(part)), "")


def _allowed(where: tuple[Any, ...]) -> list[str]:
    """The fields that are legal beside an unknown one, found by walking the plan's types."""
    model: Any = Plan
    for part in where[:-1]:
        if kind := _period_kind(part):
            model = next(m for m in Plan.model_fields["periods"].annotation.__args__ if m.__name__ == kind)  # type: ignore[union-attr]
        elif hasattr(model, "model_fields") and part in model.model_fields:
            model = _model(model.model_fields[part].annotation)
    return sorted(getattr(model, "model_fields", {}))


def _model(annotation: Any) -> Any:
    """The pydantic model inside an annotation such as `dict[str, Part]` or `Calendar | Counts`."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((a for a in reversed(getattr(annotation, "__args__", ())) if hasattr(a, "model_fields")), annotation)
