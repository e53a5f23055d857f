"""What each strategy does to the weights, beyond the contract."""

import pytest
import torch

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold, pretrain, recent_rows
from nightloop.tasks.retraining.contract_chains import assert_same_chains, run_chain
from nightloop.tasks.retraining.contract_data import logs_until, simulated_periods
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.l2sp import L2SP
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import grow, initial_weights

MODEL = MF(width=4, biases=True)
SHORT = TrainConfig(epochs=2, batch_size=16)


def equal(one, two):
    return all(torch.equal(one[name], two[name]) for name in {*one, *two})


def test_no_update_only_grows():
    periods = simulated_periods("ranking")
    chain = run_chain(MODEL, NoUpdate(), periods)
    for name, first in chain[0].weights.items():
        assert torch.equal(chain[-1].weights[name][: len(first)], first)
        assert len(chain[-1].weights[name]) > len(first)


def test_fine_tune_reads_the_newest_period_alone():
    periods = simulated_periods("ranking")
    start = FineTune(SHORT).start(MODEL, initial_weights(MODEL, periods[0]), periods[0])
    folded = fold(MODEL, FineTune(SHORT), start, periods[1])
    by_hand = fit(MODEL, grow(MODEL, start, periods[1]).weights, periods[1].since(1), SHORT)
    assert equal(folded.weights, by_hand.weights)


def test_a_kept_optimizer_changes_the_second_night_and_not_the_first():
    periods = simulated_periods("ranking")
    keep, reset = (run_chain(MODEL, FineTune(SHORT, optimizer=o), periods) for o in ("keep", "reset"))
    assert equal(keep[1].weights, reset[1].weights)
    assert not equal(keep[2].weights, reset[2].weights)
    assert all(name.startswith("optimizer/") for name in keep[1].memory) and keep[1].memory
    assert not reset[-1].memory


@pytest.mark.parametrize("make", [FineTune, L2SP, EWC, SPMF])
def test_every_learner_keeps_its_optimizer_by_default_and_forgets_it_if_asked(make):
    periods = simulated_periods("ranking")
    kept, keep, reset = (
        run_chain(MODEL, make(training=SHORT, **o), periods)
        for o in ({}, {"optimizer": "keep"}, {"optimizer": "reset"})
    )
    assert_same_chains(kept, keep, "the default")
    assert not equal(keep[2].weights, reset[2].weights)
    assert [name for name in keep[-1].memory if name.startswith("optimizer/")]
    assert not [name for name in reset[-1].memory if name.startswith("optimizer/")]


@pytest.mark.parametrize(
    ("make", "without"), [(L2SP, {"strength": 0.0}), (EWC, {"strength": 0.0}), (SPMF, {"size": 0})]
)
def test_without_its_own_part_a_learner_is_fine_tuning_with_the_same_optimizer(make, without):
    periods = simulated_periods("ranking")
    one, fine = (run_chain(MODEL, strategy, periods) for strategy in (make(training=SHORT, **without), FineTune(SHORT)))
    assert all(equal(a.weights, b.weights) for a, b in zip(one, fine, strict=True))


def test_full_retrain_of_one_period_is_fine_tune():
    periods = simulated_periods("ranking")
    full, fine = (
        run_chain(MODEL, FullRetrain(SHORT, window=1), periods),
        run_chain(MODEL, FineTune(SHORT, "reset"), periods),
    )
    assert_same_chains(full, fine, "a window of one period")


def test_full_retrain_from_scratch_forgets_the_past():
    periods = simulated_periods("ranking")
    scratch = FullRetrain(SHORT, begin="scratch", window=2)
    chain = run_chain(MODEL, scratch, periods)
    fresh = scratch.start(MODEL, initial_weights(MODEL, periods[3]), periods[3])
    assert equal(chain[-1].weights, fold(MODEL, scratch, fresh, periods[4]).weights)
    assert not equal(chain[-1].weights, run_chain(MODEL, FullRetrain(SHORT, window=2), periods)[-1].weights)


def test_lookbacks():
    assert FullRetrain().lookback == ALL_HISTORY
    assert FullRetrain(window=3).lookback == 3
    assert FineTune().lookback == NoUpdate().lookback == 1


def test_recent_keeps_the_vocabulary_and_the_newest_periods():
    logs = simulated_periods("ranking")[-1]
    assert recent_rows(logs, 2).periods.unique().tolist() == [3, 4]
    assert recent_rows(logs, 2).sizes == logs.sizes
    assert len(recent_rows(logs, ALL_HISTORY)) == len(logs)
    with pytest.raises(ValueError, match="1 or more"):
        recent_rows(logs, 0)


def test_pretraining_learns():
    logs = simulated_periods("ranking", rows=200)[2]
    trained = pretrain(MODEL, FullRetrain(TrainConfig(epochs=20, batch_size=16)), logs)
    assert trained["table.item"][:, -1].std() > 0.05
    assert {name: t.shape for name, t in trained.items()} == {
        n: t.shape for n, t in initial_weights(MODEL, logs).items()
    }


def test_practice_logs_are_canonical():
    logs = simulated_periods("ctr", ("user", "item", "device"), numeric=2)[-1]
    for field, born in enumerate(logs.born):
        codes = logs.rows[:, field]
        firsts = [int((codes == row).nonzero()[0]) for row in range(logs.sizes[field])]
        assert firsts == sorted(firsts), "rows are given in order of first sight"
        assert born.tolist() == [int(logs.periods[first]) for first in firsts]
    assert logs.label.unique().tolist() == [0, 1]
    early = logs_until(logs, 1)
    assert early.sizes < logs.sizes and int(early.rows.max()) < max(early.sizes)
