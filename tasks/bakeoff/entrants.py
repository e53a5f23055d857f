"""Entrants: the strategies and models of a specification, resolved against the plan, and which fit together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from nightloop.tasks.bakeoff.spec import BakeoffSpec
from nightloop.tasks.plan.leading_metric import CATALOGUE, leading_metric
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.plan.plugins import installed
from nightloop.tasks.plugins.assembly import assemble, mismatches
from nightloop.tasks.plugins.options import with_options

RIVALS = ("FineTune", "FullRetrain")  # what every entrant is compared with: the cheap baseline and the expensive one

LARGEST = 1_000  # combinations of options that are tried for one strategy


@dataclass(frozen=True)
class Entrant:
    """One line of the leaderboard: a strategy with a model."""

    label: str  # of the strategy
    model: str  # label of the model
    strategy: Part
    part: Part  # of the model
    several: bool = False  # whether there are several models, so that the name must say which

    @property
    def name(self) -> str:
        """What people call it: the strategy's label, and the model if there are several."""
        return f"{self.label} · {self.model}" if self.several else self.label

    def plan(self, plan: Plan, seed: int) -> Plan:
        """The plan of nights that would make the same checkpoints."""
        return plan.model_copy(update={"model": self.part, "strategies": {self.label: self.strategy}, "seed": seed})


@dataclass(frozen=True)
class EntryList:
    """Everything that runs: entrants, seeds, baselines, and combinations that do not fit together."""

    entrants: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    against: tuple[str, ...]  # labels
    metric: str
    left_out: tuple[str, ...] = ()
    variants: Mapping[str, tuple[dict[str, JsonValue], ...]] = field(default_factory=dict)  # by label, to be tried


def resolve_field(plan: Plan, spec: BakeoffSpec, wrong: list[str]) -> EntryList | None:
    """Resolve a specification. Every mistake is added to `wrong` with what is allowed; then None is returned."""
    before = len(wrong)
    strategies = _resolve_parts("strategies", spec.strategies or dict.fromkeys(plan.strategies), plan.strategies, wrong)
    plan_models = {plan.model.use: plan.model}
    models = _resolve_parts("models", spec.models or dict.fromkeys(plan_models), plan_models, wrong)
    wrong += _check_seeds(spec) + _check_labels(spec, strategies) + _check_metric(plan, spec) + _check_grid_sizes(spec)
    if len(wrong) > before:
        return None
    entrants, left_out = _pair_parts(plan, strategies, models, wrong)
    variants = {label: _combine_values(grid) for label, grid in spec.tune.items()}
    wrong += _check_variants(plan, entrants, variants) + ([] if entrants else list(left_out))
    rivals = [next((label for label, p in strategies.items() if p.use == use), "") for use in RIVALS]
    against = spec.baselines or tuple(label for label in rivals if label)
    seeds, metric = spec.seeds or (plan.seed,), leading_metric_of(plan, spec)
    return None if len(wrong) > before else EntryList(entrants, seeds, against, metric, left_out, variants)


def leading_metric_of(plan: Plan, spec: BakeoffSpec) -> str:
    """The metric that leads: the specification's, else the gate's."""
    requested = spec.metric if spec.metric != "auto" else plan.gate.metric
    return leading_metric(requested, plan.family == "ctr", plan.ranking.k)


def metrics_of(plan: Plan) -> tuple[str, ...]:
    """The metrics of the leaderboard."""
    if plan.family == "ctr":
        return ("logloss", "auc")
    return tuple(f"{name}@{k}" for name in ("ndcg", "recall") for k in sorted(plan.ranking.k))


def _resolve_parts(
    group: str, requested: Mapping[str, Part | None], plan_parts: Mapping[str, Part], wrong: list[str]
) -> dict[str, Part]:
    """Each label's part: as given, as the plan has it, or an installed plug-in of that name with its defaults."""
    available = installed("strategy" if group == "strategies" else "model")
    resolved: dict[str, Part] = {}
    for label, part in requested.items():
        candidate = part or plan_parts.get(label) or (Part(use=label) if label in available else None)
        if not label or len(label) > 63 or not all(c.isalnum() or c in "-_.+" for c in label):
            wrong.append(f"{group}: {label[:80]!r} is not a valid name; use letters, digits and - _ . + (at most 63)")
        elif candidate is None:
            plan_labels = f"the plan has {', '.join(plan_parts)}; " if plan_parts else ""
            wrong.append(f"{group}: {label[:80]!r} is not known; {plan_labels}installed are {', '.join(available)}")
        elif candidate.use not in available:
            wrong.append(f"{group}.{label}: no {candidate.use[:80]!r}; installed are {', '.join(available)}")
        else:
            resolved[label] = candidate
    return resolved


def _check_seeds(spec: BakeoffSpec) -> list[str]:
    wrong = [f"seeds: given {s}; a seed is 0 or more and below {2**31}" for s in spec.seeds if not 0 <= s < 2**31]
    return wrong + [f"seeds: {list(spec.seeds)} names one twice"] * (len(set(spec.seeds)) < len(spec.seeds))


def _check_labels(spec: BakeoffSpec, strategies: Mapping[str, Part]) -> list[str]:
    wrong = [
        f"{name}: {label[:80]!r} is not an entrant; allowed are {', '.join(strategies)}"
        for name, labels in (("baselines", spec.baselines), ("tune", tuple(spec.tune)))
        for label in labels
        if label not in strategies
    ]
    for label, grid in spec.tune.items():
        empty = [option for option, values in grid.items() if not values]
        wrong += [f"tune.{label}: give options to try, such as training.lr: [0.02, 0.1]"] if not grid else []
        wrong += [f"tune.{label}.{option}: no value to try" for option in empty]
    if bool(spec.tune) != bool(spec.tune_periods):
        wrong.append("tune and tune_periods go together: what to try, and on which periods to choose")
    return wrong


def _check_metric(plan: Plan, spec: BakeoffSpec) -> list[str]:
    metric, allowed = leading_metric_of(plan, spec), [m for m in metrics_of(plan) if m != "auc"]
    if plan.ranking.catalogue is True and spec.candidates == "uniform" and plan.family == "ranking":
        allowed += [f"{CATALOGUE}{m}" for m in allowed]
    wrong = [f"metric: given {metric!r}; of this plan's logs there are {', '.join(allowed)}"]
    kinds = ["candidates: clicks are not ranked against candidates; leave it out"]
    return wrong * (metric not in allowed) + kinds * (plan.family == "ctr" and spec.candidates != "uniform")


def _pair_parts(
    plan: Plan, strategies: Mapping[str, Part], models: Mapping[str, Part], wrong: list[str]
) -> tuple[tuple[Entrant, ...], tuple[str, ...]]:
    """Every strategy with every model it works with; the others are left out and listed."""
    entrants: list[Entrant] = []
    left_out: list[str] = []
    for (label, strategy), (model, part) in itertools.product(strategies.items(), models.items()):
        entrant = Entrant(label, model, strategy, part, len(models) > 1)
        try:
            conflicts = mismatches(entrant.plan(plan, plan.seed)) if len(models) > 1 else []
            if conflicts:
                left_out.append(f"{entrant.name}: {'; '.join(conflicts)}")
                continue
            assemble(entrant.plan(plan, plan.seed))
            entrants.append(entrant)
        except ValueError as error:
            wrong.append(f"{entrant.name}: {error}")
    return tuple(entrants), tuple(left_out)


def _check_grid_sizes(spec: BakeoffSpec) -> list[str]:
    """Grids of too many combinations."""
    counts = {label: math.prod(len(values) for values in grid.values()) for label, grid in spec.tune.items()}
    return [
        f"tune.{label}: given {count:,} combinations; at most {LARGEST:,} are tried"
        for label, count in counts.items() if count > LARGEST
    ]  # fmt: skip


def _combine_values(grid: Mapping[str, Sequence[JsonValue]]) -> tuple[dict[str, JsonValue], ...]:
    """Every combination of the values."""
    return tuple(dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _check_variants(
    plan: Plan, entrants: Sequence[Entrant], variants: Mapping[str, Sequence[Mapping[str, JsonValue]]]
) -> list[str]:
    wrong = []
    for entrant in entrants:
        for chosen in variants.get(entrant.label, ()):
            try:
                assemble(variant(entrant, chosen).plan(plan, plan.seed))
            except (ValueError, TypeError) as error:
                wrong.append(f"tune.{entrant.label} {options_in_words(chosen)}: {error}")
    return wrong


def variant(entrant: Entrant, chosen: Mapping[str, JsonValue]) -> Entrant:
    """The entrant with these options in place of its own."""
    changed = with_options("strategy", entrant.strategy, chosen)
    return Entrant(entrant.label, entrant.model, changed, entrant.part, entrant.several)


def options_in_words(chosen: Mapping[str, JsonValue]) -> str:
    """`training.lr 0.1, window 4`."""
    return ", ".join(f"{name} {value}" for name, value in chosen.items())
