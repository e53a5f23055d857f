"""Search: propose settings and learn from their results, by Optuna's tree-structured Parzen estimator.

Settings are proposed in rounds of `ROUND`, and all results of a round are learned in the order in which it was proposed. So
the choice depends on the seed, the logs and the number of trials, and not on which process is the fastest.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nightloop.tasks.bakeoff.early_stop import StopRule, stop_limits
from nightloop.tasks.evaluation.summary import direction
from nightloop.tasks.plan.search_space import NumberRange, Range, SearchSpace
from nightloop.tasks.tuning.spaces import SearchedStrategy, SettingValues

if TYPE_CHECKING:
    import optuna

ROUND = 4  # trials that are proposed together
RANDOM = 8  # trials that are drawn at random before the estimator proposes


@dataclass(frozen=True)
class SettingTrial:
    """SettingValues that were tried, and how they did."""

    settings: SettingValues
    running: Mapping[int, float]  # by period the mean of the metric so far
    stopped: bool = False  # early, because it was hopeless
    failed: str = ""
    seconds: float = 0.0  # of learning

    @property
    def value(self) -> float | None:
        """The mean over all periods of the search; None if the trial did not reach the end."""
        return None if self.failed or self.stopped or not self.running else self.running[max(self.running)]


@dataclass
class SettingSearch:
    """The search for one strategy's settings."""

    searched: SearchedStrategy
    metric: str
    seed: int
    own: SettingTrial  # the plan's own settings
    trials: list[SettingTrial] = field(default_factory=list)

    def __post_init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():  # two options of the sampler are marked as experimental
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(
                seed=self.seed, n_startup_trials=RANDOM, multivariate=True, constant_liar=True
            )
        less_is_better = direction(self.metric) < 0
        self._study = optuna.create_study(sampler=sampler, direction="minimize" if less_is_better else "maximize")
        self._distributions = {place: _distribution(values) for place, values in self.searched.space.items()}
        self._open: list[optuna.Trial] = []
        self._learn_own()

    def propose(self, most: int) -> list[SettingValues]:
        """The next round, at most so many settings. Their results must be given to `learn` before the next call."""
        proposed = [self._study.ask(self._distributions) for _ in range(min(ROUND, most))]
        self._open = proposed
        return [_settings(self.searched.space, trial.params) for trial in proposed]

    def learn(self, results: Sequence[SettingTrial | None]) -> None:
        """The results of the round, in the order of `propose`; None for a trial that was not finished."""
        import optuna

        for trial, result in zip(self._open, results, strict=True):
            for period, mean in result.running.items() if result else ():
                trial.report(mean, period)
            if result is not None and result.value is not None:
                self._study.tell(trial, result.value)
            else:
                stopped = result is not None and result.stopped
                state = optuna.trial.TrialState.PRUNED if stopped else optuna.trial.TrialState.FAIL
                self._study.tell(trial, state=state)
        self.trials += [result for result in results if result is not None]
        self._open = []

    def stop_rule(self, kind: str, periods: Sequence[int]) -> StopRule:
        """When a trial of the next round ends early."""
        earlier = [trial.running for trial in (self.own, *self.trials) if not trial.failed]
        return StopRule(metric=self.metric, kind=kind, limits=stop_limits(earlier, periods))

    @property
    def best(self) -> SettingTrial:
        """The best trial; the plan's own settings if none is better."""
        finished = [trial for trial in (self.own, *self.trials) if trial.value is not None]
        return max(finished, key=lambda trial: direction(self.metric) * (trial.value or 0.0), default=self.own)

    def _learn_own(self) -> None:
        """Tell the estimator how the plan's own settings did, if they lie in the space."""
        import optuna

        params = {place: _param(self.searched.space[place], value) for place, value in self.own.settings.items()}
        if self.own.value is None or any(param is None for param in params.values()):
            return
        own = optuna.trial.create_trial(params=params, distributions=self._distributions, value=self.own.value)
        self._study.add_trial(own)


def _distribution(values: Range) -> optuna.distributions.BaseDistribution:
    import optuna

    if not isinstance(values, NumberRange):  # by place in the list; numbers have an order that helps the search
        last, ordered = len(values) - 1, all(type(value) in (int, float) for value in values)
        categories = optuna.distributions.CategoricalDistribution(range(last + 1))
        return optuna.distributions.IntDistribution(0, last) if ordered else categories
    if values.whole_numbers:
        return optuna.distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)


def _settings(space: SearchSpace, params: Mapping[str, Any]) -> SettingValues:
    """Proposed parameters as values of options; numbers with three digits, which a person can read."""
    settings: SettingValues = {}
    for place, param in params.items():
        values = space[place]
        if not isinstance(values, NumberRange):
            settings[place] = values[param]
        elif values.whole_numbers:
            settings[place] = int(param)
        else:
            settings[place] = min(max(float(f"{param:.3g}"), values.low), values.high)
    return settings


def _param(values: Range, value: object) -> float | None:
    """A value of an option as a parameter of the search; None if it is not in the space."""
    if isinstance(values, NumberRange):
        return value if isinstance(value, int | float) and value in values else None
    return values.index(value) if value in values else None
