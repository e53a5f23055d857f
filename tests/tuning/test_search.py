"""The search on a function that is known: it finds the best place, starts from the plan's own, and comes out again."""

from __future__ import annotations

from math import log

import pytest

from nightloop.tasks.bakeoff.early_stop import FEWEST, StopRule, stop_limits
from nightloop.tasks.plan.search_space import NumberRange
from nightloop.tasks.tuning.search import ROUND, SettingSearch, SettingTrial
from nightloop.tasks.tuning.spaces import SearchedStrategy, SettingValues

SPACE = {
    "strategy.lr": NumberRange(0.001, 1.0, log=True),
    "strategy.size": (1, 2, 4, None),
    "strategy.n": NumberRange(1, 9),
}
OWN: SettingValues = {"strategy.lr": 0.5, "strategy.size": 1, "strategy.n": 9}


def value(settings: SettingValues) -> float:
    """At most 1, at lr 0.01, size 4 and n 3."""
    lr, size, n = (settings[f"strategy.{name}"] for name in ("lr", "size", "n"))
    assert isinstance(lr, float) and isinstance(n, int)
    return 1 - 0.1 * abs(log(lr / 0.01)) - 0.2 * (size != 4) - 0.02 * abs(n - 3)


def searched(metric: str = "ndcg@20", rounds: int = 12, own: SettingValues = OWN) -> SettingSearch:
    sign = -1 if metric == "logloss" else 1
    search = SettingSearch(SearchedStrategy("fast", SPACE), metric, 0, SettingTrial(own, {3: sign * value(own)}))
    for _ in range(rounds):
        search.learn([SettingTrial(settings, {3: sign * value(settings)}) for settings in search.propose(ROUND)])
    return search


@pytest.mark.parametrize("metric", ["ndcg@20", "logloss"])
def test_it_comes_near_the_best_place(metric: str) -> None:
    best = searched(metric).best
    assert best.value is not None and abs(best.value) > 0.85 > value(OWN)
    assert best.settings["strategy.size"] == 4 and best.settings["strategy.lr"] == pytest.approx(0.01, rel=2)


def test_the_same_seed_and_results_give_the_same_trials() -> None:
    assert searched(rounds=5).trials == searched(rounds=5).trials


def test_what_it_proposes_lies_in_the_space_and_can_be_read() -> None:
    for trial in searched(rounds=5).trials:
        assert all(setting in SPACE[place] for place, setting in trial.settings.items())
        assert len(f"{trial.settings['strategy.lr']:.10g}".replace("0.", "").strip("0")) <= 3


def test_the_plans_own_settings_stay_if_none_is_better() -> None:
    best: SettingValues = {"strategy.lr": 0.01, "strategy.size": 4, "strategy.n": 3}
    search = searched(rounds=3, own=best)
    assert search.best is search.own and len(search.trials) == 3 * ROUND


def test_own_settings_outside_the_space_do_no_harm() -> None:
    search = searched(rounds=2, own={"strategy.lr": 5.0, "strategy.size": 1, "strategy.n": 9})
    assert len(search.trials) == 2 * ROUND


def test_trials_that_failed_stopped_or_were_not_finished_are_never_the_best() -> None:
    search = SettingSearch(SearchedStrategy("fast", SPACE), "ndcg@20", 0, SettingTrial(OWN, {3: 0.1, 4: 0.1}))
    a, b, _c, d = search.propose(ROUND)
    search.learn(
        [
            SettingTrial(a, {3: 9.0}, stopped=True),
            SettingTrial(b, {}, failed="the loss diverges"),
            None,
            SettingTrial(d, {3: 0.2, 4: 0.2}),
        ]
    )
    assert search.best.settings == d and len(search.trials) == 3
    assert len(search.propose(2)) == 2, "it goes on"


def test_a_trial_stops_where_it_is_worse_than_most_before_it() -> None:
    earlier = [{1: 0.1 * n, 2: 0.1 * n, 3: 0.1 * n} for n in range(FEWEST)]
    assert stop_limits(earlier[1:], (1, 2, 3)) == {}, "too few to compare with"
    limits = stop_limits(earlier, (1, 2, 3))
    assert set(limits) == {1, 2} and limits[1] == pytest.approx(0.2), "at the last period nothing is saved"
    high, low = (StopRule(metric=metric, kind="uniform", limits=limits) for metric in ("ndcg@20", "logloss"))
    assert high.is_hopeless(1, {1: 0.19}) and not high.is_hopeless(1, {1: 0.21}) and not high.is_hopeless(3, {3: 0.0})
    assert low.is_hopeless(1, {1: 0.21}) and not low.is_hopeless(1, {1: 0.19})
