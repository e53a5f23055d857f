"""Assembly: the plug-ins a plan names, built; every mistake of a plan in one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.lake.sources import build as build_source
from tasks.lake.sources.source import Source
from tasks.models import build as build_model
from tasks.models.model import Model
from tasks.plan.plan import Part, Plan
from tasks.plan.reading import mistakes, read_yaml
from tasks.strategies import build as build_strategy
from tasks.strategies.strategy import Strategy


@dataclass(frozen=True)
class Parts:
    """What a plan names, ready to work."""

    source: Source
    model: Model
    pretrain: Strategy
    strategies: Mapping[str, Strategy]


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises one ValueError that lists every mistake, those of plug-in options included."""
    raw = read_yaml(path)
    found = mistakes(raw) + _plug_in_mistakes(raw)
    if found:
        listed = "\n".join(f"  - {mistake}" for mistake in found)
        raise ValueError(f"{path} has {len(found)} mistake{'s' * (len(found) > 1)}:\n{listed}")
    plan = Plan.model_validate(raw)
    assemble(plan)
    return plan


def assemble(plan: Plan) -> Parts:
    """Build what the plan names. Raises ValueError where model and logs, or strategy and model, do not go together."""
    return _assembled(plan.model_dump_json())


@lru_cache(maxsize=8)  # every task of a night asks; finding entry points takes longer than what most of them do
def _assembled(text: str) -> Parts:
    plan = Plan.model_validate_json(text)
    fields = ("user", "item", *plan.columns.categorical)
    model = build_model(plan.model.use, plan.model.options, fields, len(plan.columns.numeric), plan.columns.history)
    strategies = {label: build_strategy(part) for label, part in plan.strategies.items()}
    pretrain = build_strategy(plan.pretrain)
    named = {"pretrain": pretrain, **{f"strategies.{label}": one for label, one in strategies.items()}}
    misfits = [m for where, one in named.items() if (m := _misfit(where, one, plan.model.use))]
    misfits += [m for where, one in named.items() for m in _unsuited(where, one, plan, model)]
    if model.family != plan.family:
        role = "a label column" if model.family == "ctr" else "no label column"
        misfits.append(
            f"model {plan.model.use} is for {model.family} logs and needs {role}; columns.label is {plan.columns.label!r}"
        )
    if misfits:
        raise ValueError("; ".join(misfits))
    return Parts(build_source(plan.source), model, pretrain, strategies)


def _misfit(where: str, strategy: Strategy, model: str) -> str:
    models = getattr(strategy, "models", None)  # a strategy that needs particular models names them
    if models is None or model in models:
        return ""
    return f"{where}: {type(strategy).__name__} works with {', '.join(models)}, not with {model}"


def _unsuited(where: str, strategy: object, plan: Plan, model: Model) -> list[str]:
    """What is wrong where a strategy, or one within it, names the families it is for and the plan's is none of them, or
    the options that it needs of the model and one of them is off."""
    families, fields = getattr(strategy, "families", (plan.family,)), vars(strategy).items()
    wrong = [] if plan.family in families else [
        f"{where}: {type(strategy).__name__} is for {' and '.join(families)} logs; columns.label is {plan.columns.label!r}"
    ]  # fmt: skip
    for option in getattr(strategy, "needs", ()):
        if not getattr(model, option, False):
            wrong.append(f"{where}: {type(strategy).__name__} needs the model's option {option}: true")
    inner = [(name, one) for name, value in fields for one in (value if isinstance(value, tuple) else (value,))]
    return wrong + [
        m for name, one in inner if hasattr(one, "update") for m in _unsuited(f"{where}.{name}", one, plan, model)
    ]


def _plug_in_mistakes(raw: Mapping[str, Any]) -> list[str]:
    parts: dict[str, tuple[Any, Callable[[Part], object]]] = {
        "source": (raw.get("source"), build_source),
        "pretrain": (raw.get("pretrain"), build_strategy),
    }
    history = columns.get("history", 0) if isinstance(columns := raw.get("columns"), Mapping) else 0
    parts["model"] = (raw.get("model"), lambda part: build_model(part.use, part.options, ("user", "item"), 0, history))
    listed = raw.get("strategies")
    for label, part in listed.items() if isinstance(listed, Mapping) else ():
        parts[f"strategies.{label}"] = (part, build_strategy)
    found = []
    for where, (part, build) in parts.items():
        try:
            build(Part.model_validate(part))
        except ValidationError:
            continue  # a mistake of form, said already
        except (ValueError, TypeError) as error:
            found.append(f"{where}: {error}")
    return found
