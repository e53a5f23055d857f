"""Assembly: build the plug-ins that a plan names, and report every mistake of a plan in one error."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from nightloop.tasks.lake.source import Source
from nightloop.tasks.models import build as build_model
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.bounds import WIDEST
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.load import form_mistakes, raise_mistakes, read_yaml
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.plan.plugins import Builder, Kind
from nightloop.tasks.retraining.strategy import Strategy, models_of
from nightloop.tasks.sources import build as build_source
from nightloop.tasks.strategies import build as build_strategy

log = logging.getLogger(__name__)
ROW = 4 * WIDEST  # numbers of one id: models keep up to three vectors of their width
LARGEST = 10**9  # weights of a model's layers without tables: 4 GB, and the same again for each optimiser state


@dataclass(frozen=True)
class Parts:
    """The plug-ins that a plan names, built."""

    source: Source
    model: Model
    pretrain: Strategy
    strategies: Mapping[str, Strategy]


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises one PlanError that lists every mistake, those of plug-in options included."""
    raw = read_yaml(path)
    raise_mistakes(path, form_mistakes(raw) + _plug_in_mistakes(raw))
    plan = Plan.model_validate(raw)
    assemble(plan)
    return plan


def assemble(plan: Plan) -> Parts:
    """Build the plug-ins of the plan. Raises PlanError if model, logs and strategies do not fit together."""
    return _assemble_json(plan.model_dump_json())


@lru_cache(maxsize=8)  # every task of a night calls this, and finding entry points takes longer than most tasks
def _assemble_json(text: str) -> Parts:
    plan = Plan.model_validate_json(text)
    parts = _build_parts(plan)
    wrong = [*_too_large(plan, parts.model), *_model_mismatches(plan, parts), *_wrong_logs(plan, parts)]
    if wrong:
        raise PlanError("; ".join(wrong))
    return parts


def _too_large(plan: Plan, model: Model) -> list[str]:
    """Mistakes of a model that has too many weights. They are counted on torch's device `meta`, without memory."""
    if model.width > ROW:
        return [f"model {plan.model.use}: its rows have {model.width:,} numbers; at most {ROW:,}: set smaller widths"]
    try:
        with torch.device("meta"):
            count = sum(tensor.numel() for tensor in model.dense(torch.Generator()).values())
    except Exception as error:  # a user's own model, whose weights cannot be made on this device
        log.debug("the weights of model %s are not counted: %s", plan.model.use, error)
        return []
    mistake = f"model {plan.model.use}: its layers have {count:,} weights; at most {LARGEST:,}: set smaller widths or fewer layers"
    return [mistake] if count > LARGEST else []


def mismatches(plan: Plan) -> list[str]:
    """Which strategies do not fit the model, and why. Raises PlanError if a plug-in cannot be built."""
    return _model_mismatches(plan, _build_parts(plan))


def _build_parts(plan: Plan) -> Parts:
    fields = ("user", "item", *plan.columns.categorical)
    model = build_model(
        plan.model.use, plan.model.options, fields, len(plan.columns.numeric), plan.columns.history_length
    )
    strategies = {label: build_strategy(part) for label, part in plan.strategies.items()}
    return Parts(build_source(plan.source), model, build_strategy(plan.pretrain), strategies)


def _strategies_by_path(parts: Parts) -> dict[str, Strategy]:
    """Every strategy by its path in the plan."""
    return {
        "pretrain": parts.pretrain,
        **{f"strategies.{label}": strategy for label, strategy in parts.strategies.items()},
    }


def _with_inner(where: str, strategy: object) -> Iterator[tuple[str, object]]:
    """The strategy and all strategies within it, each with its path in the plan."""
    yield where, strategy
    for name, value in vars(strategy).items():
        for inner in value if isinstance(value, tuple) else (value,):
            if hasattr(inner, "update"):
                yield from _with_inner(f"{where}.{name}", inner)


def _model_mismatches(plan: Plan, parts: Parts) -> list[str]:
    """Strategies that do not work with the model, or that (or one within which) need an option of it that is off."""
    mistakes = []
    for where, strategy in _strategies_by_path(parts).items():
        models = models_of(strategy)
        if models is not None and plan.model.use not in models:
            mistakes.append(
                f"{where}: {type(strategy).__name__} works with {', '.join(models)}, not with {plan.model.use}"
            )
            continue
        for path, inner in _with_inner(where, strategy):
            off = [option for option in getattr(inner, "needs", ()) if not getattr(parts.model, option, False)]
            mistakes += [f"{path}: {type(inner).__name__} needs the model's option {option}: true" for option in off]
    return mistakes


def _wrong_logs(plan: Plan, parts: Parts) -> list[str]:
    """Model and strategies, also those within others, that are for another family of logs than the plan's."""
    mistakes, label = [], plan.columns.label
    for where, strategy in _strategies_by_path(parts).items():
        for path, inner in _with_inner(where, strategy):
            families = getattr(inner, "families", (plan.family,))
            if plan.family not in families:
                mistakes.append(
                    f"{path}: {type(inner).__name__} is for {' and '.join(families)} logs; columns.label is {label!r}"
                )
            if plan.family == "ctr" and isinstance(training := getattr(inner, "training", None), TrainConfig):
                try:
                    training.refuse_ranking_options("a model of clicks")
                except PlanError as error:
                    mistakes.append(f"{path}: {error}")
    if (family := parts.model.family) != plan.family:
        role = "a label column" if family == "ctr" else "no label column"
        mistakes.append(f"model {plan.model.use} is for {family} logs and needs {role}; columns.label is {label!r}")
    return mistakes


def _plug_in_mistakes(raw: Mapping[str, Any]) -> list[str]:
    builder = Builder({Strategy: "strategy"})
    history = columns.get("history_length", 0) if isinstance(columns := raw.get("columns"), Mapping) else 0
    context = {"fields": ("user", "item"), "numeric": 0, "history": history}
    fields: tuple[tuple[Kind, str], ...] = (("source", "source"), ("model", "model"), ("strategy", "pretrain"))
    groups: tuple[tuple[Kind, str], ...] = (("strategy", "strategies"), ("corrector", "correctors"))
    parts = [(kind, field, raw.get(field)) for kind, field in fields]
    for kind, group in groups:
        listed = raw.get(group)
        parts += [
            (kind, f"{group}.{label}", part) for label, part in (listed.items() if isinstance(listed, Mapping) else ())
        ]
    for kind, where, part in parts:
        with suppress(ValidationError):  # a mistake of form, reported already
            builder.plug_in(kind, Part.model_validate(part).model_dump(), where, context if kind == "model" else None)
    return builder.mistakes
