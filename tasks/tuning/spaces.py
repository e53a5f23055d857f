"""Spaces: what is searched for each strategy of a plan, from what plug-ins declare or from what a person gives.

A setting is named by its place: `model.width`, `pretrain.training.l2`, `strategy.training.lr`. Model and pre-training are
shared by all strategies, so they are searched together with the first strategy that has training options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import JsonValue

from nightloop.tasks.bakeoff.entrants import Entrant
from nightloop.tasks.modules.train_config import RANKING_OPTIONS
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.plan.plugins import Kind, installed, name_list
from nightloop.tasks.plan.search_space import NumberRange, Range, SearchSpace, parse_range
from nightloop.tasks.plugins.assembly import assemble
from nightloop.tasks.plugins.options import declared_space, option_mistake, option_value, with_options

SHARED = ("model", "pretrain")
KINDS: dict[str, Kind] = {"model": "model", "pretrain": "strategy", "strategy": "strategy"}
DENSE = "training.dense_lr"  # of no use to a model whose weights are all in tables
OF_RANKINGS = {f"training.{option}" for option in RANKING_OPTIONS}  # of no use to a model of clicks
SettingValues = dict[str, JsonValue]  # by place


@dataclass(frozen=True)
class SearchedStrategy:
    """A strategy of the plan, and what is searched for it."""

    label: str
    space: SearchSpace  # by place

    @property
    def shares(self) -> bool:
        """Whether the model or the pre-training is searched with it."""
        return any(place.split(".")[0] in SHARED for place in self.space)


def part_at(plan: Plan, label: str, place: str) -> Part:
    """The part of the plan that a place is in."""
    group = place.split(".")[0]
    return plan.model if group == "model" else plan.pretrain if group == "pretrain" else plan.strategies[label]


def current_settings(plan: Plan, searched: SearchedStrategy) -> SettingValues:
    """The plan's own values of everything that is searched."""
    return {
        place: option_value(KINDS[group], part_at(plan, searched.label, place), option)
        for place in searched.space
        for group, _, option in [place.partition(".")]
    }


def apply_settings(plan: Plan, label: str, settings: Mapping[str, JsonValue]) -> Plan:
    """The plan with these settings of a strategy, the model and the pre-training put in."""
    groups: dict[str, dict[str, JsonValue]] = {group: {} for group in KINDS}
    for place, value in settings.items():
        group, _, option = place.partition(".")
        groups[group][option] = value
    changed = {
        group: with_options(KINDS[group], part_at(plan, label, group), options)
        for group, options in groups.items()
        if options
    }
    strategy = changed.pop("strategy", plan.strategies[label])
    return plan.model_copy(update={**changed, "strategies": {**plan.strategies, label: strategy}})


def entrant_plan(plan: Plan, label: str) -> Plan:
    """The plan with this strategy alone."""
    return plan.model_copy(update={"strategies": {label: plan.strategies[label]}})


def setting_name(place: str, label: str) -> str:
    """A place as people call it: `fine-tune.training.lr`, `model.width`."""
    group, _, option = place.partition(".")
    return f"{label if group == 'strategy' else group}.{option}"


def entrant_of(plan: Plan, label: str) -> Entrant:
    """The strategy as a bake-off runs it."""
    return Entrant(label, plan.model.use, plan.strategies[label], plan.model)


def searched_strategies(
    plan: Plan, labels: Sequence[str], given: Mapping[str, Mapping[str, object]] | None
) -> tuple[SearchedStrategy, ...]:
    """What is searched, in the order of the plan, the strategy that shares its search with the model first.

    `labels`: only these; empty: all. `given`: by label, `model` or `pretrain` the options to search with their values,
    instead of what the plug-ins declare. Raises one PlanError that lists every mistake.
    """
    wrong = [
        f"strategies: {label[:80]!r} is not in the plan; it has {name_list(plan.strategies)}"
        for label in labels
        if label not in plan.strategies
    ]
    chosen = [label for label in plan.strategies if not labels or label in labels]
    spaces = _given_spaces(plan, chosen, given, wrong) if given is not None else _declared_spaces(plan, chosen)
    if not any(spaces.values()) and not wrong:
        wrong.append(_empty(plan, chosen, given is not None))
    if wrong:
        raise PlanError("; ".join(dict.fromkeys(wrong)))
    searched = _in_order(plan, chosen, spaces)
    if wrong := [mistake for one in searched for mistake in _wrong_values(plan, one)]:
        raise PlanError("; ".join(dict.fromkeys(wrong)))
    return searched


def _wrong_values(plan: Plan, searched: SearchedStrategy) -> list[str]:
    """Values, or ends of intervals, that a plug-in refuses."""
    wrong = []
    for place, values in searched.space.items():
        for value in (values.low, values.high) if isinstance(values, NumberRange) else values:
            try:
                assemble(entrant_plan(apply_settings(plan, searched.label, {place: value}), searched.label))
            except ValueError as error:
                wrong.append(f"space: {setting_name(place, searched.label)} {value!r:.40}: {error}")
    return wrong


def _in_order(plan: Plan, labels: Sequence[str], spaces: Mapping[str, SearchSpace]) -> tuple[SearchedStrategy, ...]:
    own = {label: {f"strategy.{option}": r for option, r in spaces[label].items()} for label in labels}
    shared = {f"{group}.{option}": values for group in SHARED for option, values in spaces[group].items()}
    trains = [label for label in labels if any(place.startswith("strategy.training.") for place in own[label])]
    declared = {label: declared_space("strategy", plan.strategies[label].use) for label in labels}
    trains = trains or [
        n for n in labels if not own[n] and any(option.startswith("training.") for option in declared[n])
    ]
    alone = labels[:1] if not any(own.values()) else ()  # only shared settings are searched: some strategy judges them
    first = next(iter([*trains, *alone]), None)
    searched = [SearchedStrategy(first, {**shared, **own[first]})] if first is not None else []
    searched += [SearchedStrategy(label, own[label]) for label in labels if label != first and own[label]]
    return tuple(one for one in searched if one.space)


def _declared_spaces(plan: Plan, labels: Sequence[str]) -> dict[str, SearchSpace]:
    pretrain = declared_space("strategy", plan.pretrain.use)
    spaces: dict[str, SearchSpace] = {
        "model": declared_space("model", plan.model.use),
        # Pre-training reads the whole history of the root once, so that windows and kept optimisers do nothing in it.
        "pretrain": {option: values for option, values in pretrain.items() if option.startswith("training.")},
        **{label: declared_space("strategy", plan.strategies[label].use) for label in labels},
    }
    with torch.device("meta"):
        dense = bool(assemble(plan).model.dense(torch.Generator()))
    useless = {*(() if dense else (DENSE,)), *(() if plan.family == "ranking" else OF_RANKINGS)}
    return {
        group: {option: values for option, values in space.items() if option not in useless}
        for group, space in spaces.items()
    }


def _given_spaces(
    plan: Plan, labels: Sequence[str], given: Mapping[str, Mapping[str, object]], wrong: list[str]
) -> dict[str, SearchSpace]:
    legal = (*SHARED, *labels)
    wrong += [
        f"space: {group!r:.80} is not known; allowed are {', '.join(legal)}" for group in given if group not in legal
    ]
    return {group: _given_space(plan, group, given.get(group) or {}, wrong) for group in legal}


def _given_space(plan: Plan, group: str, given: object, wrong: list[str]) -> SearchSpace:
    if not isinstance(given, Mapping):
        wrong.append(f"space.{group}: given {given!r:.80}; it is a mapping of options to values")
        return {}
    part = {"model": plan.model, "pretrain": plan.pretrain}.get(group) or plan.strategies[group]
    space: dict[str, Range] = {}
    for option, values in given.items():
        if mistake := option_mistake("model" if group == "model" else "strategy", part.use, str(option)):
            wrong.append(f"space.{group}: {mistake}")
            continue
        try:
            space[str(option)] = parse_range(values)
        except PlanError as error:
            wrong.append(f"space.{group}.{option}: {error}")
    return space


def _empty(plan: Plan, labels: Sequence[str], is_given: bool) -> str:
    if is_given:
        return "space: it is empty; name options with their values, such as fine-tune: {training.lr: {low: 0.01, high: 0.3, log: true}}"
    able = [name for name in installed("strategy") if declared_space("strategy", name)]
    uses = name_list(sorted({plan.strategies[label].use for label in labels}))
    return (
        f"nothing to tune: {uses} and the model {plan.model.use} declare no search space; those that do are {name_list(able)}. "
        "Or give a space"
    )
