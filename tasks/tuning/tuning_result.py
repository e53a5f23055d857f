"""The result of a tuning: what was tried for each strategy, what was chosen, and what the check says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from nightloop.tasks.evaluation.paired_difference import Difference
from nightloop.tasks.evaluation.summary import direction
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.reports.format import plural
from nightloop.tasks.tuning.search import SettingSearch, SettingTrial
from nightloop.tasks.tuning.search_periods import SearchPeriods
from nightloop.tasks.tuning.spaces import SettingValues, setting_name


@dataclass(frozen=True)
class TunedStrategy:
    """One strategy: its search, and the check on periods that the search never saw."""

    search: SettingSearch
    settings: SettingValues  # that are used from now on; empty: the plan's own
    before: float  # the metric on the periods of the check with the plan as it is
    after: float  # and with the tuned plan
    gain: Difference | None  # after minus before, plus is better; None if the check has too few users
    reason: str = ""  # why the plan's own settings stay; empty: they do not

    @property
    def label(self) -> str:
        """Of the strategy."""
        return self.search.searched.label

    @property
    def relative(self) -> float:
        """The gain in parts of what was before, plus is better."""
        return direction(self.search.metric) * (self.after - self.before) / self.before if self.before else 0.0


@dataclass(frozen=True)
class TuningResult:
    """Everything that a tuning found."""

    plan: Plan  # as it was given
    tuned: Plan
    metric: str
    periods: SearchPeriods
    names: Mapping[int, str]  # of periods
    strategies: Sequence[TunedStrategy]

    @property
    def trials(self) -> int:
        """SettingValues that were tried, the plan's own not counted."""
        return sum(len(one.search.trials) for one in self.strategies)

    @property
    def has_gain(self) -> bool:
        """Whether any setting is better than the plan's own."""
        return any(one.settings for one in self.strategies)


def settings_in_words(settings: Mapping[str, object], label: str) -> str:
    """`fine-tune.training.lr 0.1, model.width 64`."""
    return ", ".join(f"{setting_name(place, label)} {value_in_words(value)}" for place, value in settings.items())


def value_in_words(value: object) -> str:
    """A value of an option."""
    return "none" if value is None else str(value)


def strategy_in_words(one: TunedStrategy) -> str:
    """What tuning did for a strategy, in a sentence."""
    metric = one.search.metric
    values = f"{metric} {one.before:.4f} before, {one.after:.4f} after on the periods of the check"
    if one.gain is not None:
        values += f" ({one.gain.mean:+.4f}, 95 % interval {one.gain.low:+.4f} to {one.gain.high:+.4f})"
    change = f"{abs(one.relative):.1%} {'better' if one.relative >= 0 else 'worse'}: "
    what = f"{one.reason}; " if one.reason else change
    return f"{one.label}: {what}{values}; {plural(len(one.search.trials), 'setting')} tried"


def chosen_in_words(one: TunedStrategy) -> str:
    """The settings that are used from now on; empty if they are the plan's own."""
    return f"{one.label} has now {settings_in_words(one.settings, one.label)}" if one.settings else ""


def tuning_document(result: TuningResult) -> dict[str, JsonValue]:
    """The whole record."""
    periods, names = result.periods, result.names
    return {
        "format": 1,
        "pipeline": result.plan.pipeline,
        "metric": result.metric,
        "seed": result.plan.seed,
        "pretrain_periods": periods.pretrain,
        "search": [names[p] for p in periods.search if p in names],
        "check": [names[p] for p in periods.check if p in names],
        "strategies": [
            {
                "strategy": one.label,
                "chosen": dict(one.settings),
                "reason": one.reason,
                "before": one.before,
                "after": one.after,
                "gain": [one.gain.mean, one.gain.low, one.gain.high] if one.gain else None,
                "own": _trial_record(one.search.own, names),
                "trials": [_trial_record(trial, names) for trial in one.search.trials],
            }
            for one in result.strategies
        ],
    }


def _trial_record(trial: SettingTrial, names: Mapping[int, str]) -> dict[str, JsonValue]:
    return {
        "settings": dict(trial.settings), "value": trial.value, "stopped": trial.stopped, "failed": trial.failed,
        "running": {names[p]: mean for p, mean in trial.running.items()}, "seconds": round(trial.seconds, 2),
    }  # fmt: skip
