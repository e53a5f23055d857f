"""ReLoop: R1 to R7, what is remembered of earlier periods, what the logs say, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.loss import Batch, Loss, Objective
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.distillation_loss import Distil
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.reloop import ReLoop, SelfCorrection
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow, initial_weights

FIELDS = ("user", "item", "device")
MODEL = DeepFM(fields=FIELDS, numeric=2, width=4, hidden=(8,))
PERIODS = simulated_periods("ctr", FIELDS, numeric=2)
SHORT = TrainConfig(epochs=2, batch_size=16)
LEARNERS = {
    "FineTune": FineTune(SHORT),
    "FullRetrain": FullRetrain(SHORT),
    "FullRetrain-window": FullRetrain(SHORT, window=3),
    "SPMF": SPMF(size=40, training=SHORT),
}


class Listener:
    """A learner that writes down what it is given to learn from."""

    def __init__(self, learner: FineTune | FullRetrain | SPMF) -> None:
        self.learner, self.heard = learner, []

    @property
    def lookback(self) -> int:
        return self.learner.lookback

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        return self.learner.start(model, weights, logs)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        def listening(rows: Logs) -> Loss:
            self.heard.append(rows)
            return objective(rows)

        return self.learner.learn(model, checkpoint, logs, listening)


def drawn(n: int = 200) -> tuple[Logs, Tensor]:
    """Rows with labels 0 and 1, what was predicted of them, and new logits."""
    g = torch.Generator().manual_seed(0)
    logs = PERIODS[-1].select(torch.arange(n))
    return replace(logs, served=torch.rand(n, generator=g)), torch.randn(n, generator=g).mul_(3)


def told(objective: Objective, logs: Logs, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of all rows in one batch, and its gradient by logit."""
    n, leaf = len(logs), logits.detach().clone().requires_grad_()
    value = objective(logs)(Batch(leaf, logs.label, torch.arange(n), logs.rows, torch.zeros(n, 3, 1), n))
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def corrected(logs: Logs, logits: Tensor) -> tuple[float, Tensor]:
    """Value and gradient of L_sc alone: alpha L_sc + (1 - alpha) L_ce at two alphas, solved for it."""
    (low, at_low), (high, at_high) = (told(SelfCorrection(a), logs, logits) for a in (0.0, 0.5))
    return float(2 * high - low), 2 * at_high - at_low


def same(one: Checkpoint, two: Checkpoint) -> bool:
    return all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_r1_without_alpha_it_is_the_learner_bit_by_bit(learner: Strategy) -> None:
    alone, looped = run_chain(MODEL, learner, PERIODS), run_chain(MODEL, ReLoop(learner, alpha=0), PERIODS)
    assert all(same(one, two) for one, two in zip(alone, looped, strict=True))
    assert not same(run_chain(MODEL, ReLoop(learner, alpha=0.5), PERIODS)[-1], alone[-1])


def test_r2_what_is_as_good_as_before_is_free_and_a_tie_is_flat() -> None:
    logs, logits = drawn()
    new, ones = logits.sigmoid(), logs.label > 0.5
    worse = torch.where(ones, new * 0.9, new + 0.1 * (1 - new))  # what was predicted before was no better
    for last in (worse, new):
        value, gradient = corrected(replace(logs, served=last), logits)
        assert value == pytest.approx(0, abs=1e-6) and float(gradient.abs().max()) < 1e-8
    tie = replace(logs, served=new)
    assert torch.equal(told(SelfCorrection(0.5), tie, logits)[1], told(SelfCorrection(0.0), tie, logits)[1] / 2)


def test_r3_the_gradient_is_the_closed_form() -> None:
    logs, logits = drawn()
    new, y, last = logits.sigmoid(), logs.label, logs.served
    alpha, slope = 0.3, new * (1 - new)
    of_correction = torch.where((y == 1) & (new < last), -slope, torch.where((y == 0) & (new > last), slope, 0.0))
    exact = (alpha * of_correction + (1 - alpha) * (new - y)) / len(logs)
    value, gradient = told(SelfCorrection(alpha), logs, logits)
    assert torch.allclose(gradient, exact, atol=1e-8, rtol=1e-5)
    lost = y * (last - new).clamp(min=0) + (1 - y) * (new - last).clamp(min=0)
    entropy = binary_cross_entropy_with_logits(logits, y)
    assert float(value) == pytest.approx(float(alpha * lost.mean() + (1 - alpha) * entropy), rel=1e-6)
    assert float(of_correction.abs().max()) <= 0.25 and bool((of_correction != 0).any())


def test_r4_a_perfect_last_version_makes_it_absolute_error() -> None:
    logs, logits = drawn()
    value, _ = corrected(replace(logs, served=logs.label), logits)
    assert value == pytest.approx(float((logs.label - logits.sigmoid()).abs().mean()), rel=1e-5)


def test_r5_a_last_version_that_is_always_wrong_leaves_the_rest_of_the_loss() -> None:
    logs, logits = drawn()
    wrong = replace(logs, served=1 - logs.label)
    value, gradient = told(SelfCorrection(0.4), wrong, logits)
    plain, of_plain = told(SelfCorrection(0.0), wrong, logits)
    assert float(value) == pytest.approx(0.6 * float(plain), rel=1e-6)
    assert torch.allclose(gradient, 0.6 * of_plain, atol=1e-9, rtol=1e-5)


def test_r6_it_is_one_sided_where_distillation_is_not() -> None:
    logs = replace(PERIODS[0].select(torch.tensor([0])), label=torch.ones(1), served=torch.tensor([0.2]))
    logits = torch.logit(torch.tensor([0.9]))
    (_, plain), (_, looped) = (told(SelfCorrection(a), logs, logits) for a in (0.0, 0.5))
    _, distilled = told(Distil(0.5, 0.5), logs, logits)
    assert torch.equal(looped, 0.5 * plain), "a better prediction than the last is free"
    assert float(distilled - 0.5 * plain) > 0.3, "a teacher that was wrong pulls all the same"


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_r7_no_row_was_predicted_by_weights_that_had_seen_it(learner: Strategy) -> None:
    """What a learner hears of a row was predicted at the close of the period before the row's own."""
    listener = Listener(learner)  # type: ignore[arg-type]
    chain = run_chain(MODEL, ReLoop(listener), PERIODS)  # type: ignore[arg-type]
    for rows in listener.heard:
        for period in rows.periods.unique().tolist():
            mine = rows.select(rows.periods == period)
            if not period:
                assert bool(mine.served.isnan().all()), "the root's rows were seen in pre-training"
                continue
            before = grow(MODEL, chain[period - 1], PERIODS[period])  # its close is before the period begins
            assert torch.allclose(mine.served, predict(MODEL, before.weights, mine).sigmoid(), atol=1e-6)


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_r7_labels_of_a_period_do_not_move_what_was_predicted_of_it(learner: Strategy) -> None:
    heard = []
    for turned in (False, True):
        listener = Listener(learner)  # type: ignore[arg-type]
        periods = [
            replace(logs, label=torch.where(logs.periods == 2, 1 - logs.label, logs.label)) if turned else logs
            for logs in PERIODS
        ]
        run_chain(MODEL, ReLoop(listener), periods)  # type: ignore[arg-type]
        heard.append(listener.heard)
    for one, two in zip(*heard, strict=True):
        mine, other = (rows.served[rows.periods == 2] for rows in (one, two))
        if len(mine) == len(other):  # a reservoir of positives may hold others
            assert torch.equal(mine.sort().values, other.sort().values)


def test_what_was_served_is_taken_from_the_logs() -> None:
    listener = Listener(FullRetrain(SHORT, window=2))
    periods = [_served(logs) for logs in PERIODS]
    run_chain(MODEL, ReLoop(listener), periods)  # type: ignore[arg-type]
    for rows, logs in zip(listener.heard, periods[1:], strict=True):
        logged = logs.since(logs.period - 1)
        there = ~logged.served.isnan()
        assert torch.equal(rows.served[there], logged.served[there]) and bool(there.any())
        assert int(rows.served.isnan().sum()) == int((logged.served.isnan() & (logged.periods == 0)).sum())


def test_nothing_is_predicted_where_everything_was_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightloop.tasks.strategies import reloop

    monkeypatch.setattr(reloop, "predict", lambda *_: pytest.fail("what was served is at hand"))
    run_chain(MODEL, ReLoop(FineTune(SHORT)), [replace(logs, served=torch.full((len(logs),), 0.3)) for logs in PERIODS])


def test_after_a_skipped_period_the_rest_is_remembered() -> None:
    strategy = ReLoop(FullRetrain(SHORT, window=3))
    checkpoint = strategy.start(MODEL, initial_weights(MODEL, PERIODS[0]), PERIODS[0])
    for t in (1, 2, 4):
        logs = PERIODS[t].select(PERIODS[t].periods != 3)
        checkpoint = fold(MODEL, strategy, checkpoint, logs)
    assert checkpoint.memory["served/periods"].unique().tolist() == [4]


def test_a_period_that_was_delivered_anew_is_named() -> None:
    strategy = ReLoop(FullRetrain(SHORT, window=2))
    chain = run_chain(MODEL, strategy, PERIODS[:3])
    fewer = PERIODS[3].select(torch.arange(len(PERIODS[3])) != 130)
    with pytest.raises(ValueError, match=r"period 2 has 59 rows, and had 60 when their predictions were kept"):
        fold(MODEL, strategy, chain[-1], fewer)


def test_a_ranking_and_a_deaf_learner_are_refused() -> None:
    with pytest.raises(ValueError, match="ReLoop learns from probabilities and needs labelled logs"):
        run_chain(MF(width=4), ReLoop(FineTune(SHORT)), simulated_periods("ranking"))
    with pytest.raises(ValueError, match="learner: ReLoop gives its learner another loss, and NoUpdate takes none"):
        ReLoop(NoUpdate())


def test_a_row_without_a_prediction_weighs_no_more_than_the_others() -> None:
    logs = replace(PERIODS[0].select(slice(0, 2)), served=torch.tensor([float("nan"), 0.5]))
    logits = torch.zeros(2, requires_grad=True)
    batch = Batch(logits, logs.label, torch.arange(2), logs.rows, torch.zeros(2, 2, 4), 2)
    (gradient,) = torch.autograd.grad(SelfCorrection(0.75)(logs)(batch), logits)
    assert gradient.abs().tolist() == pytest.approx([0.25 * 0.5 / 2] * 2)


@pytest.mark.parametrize("alpha", [-0.1, 1.0, 1.5, float("nan")])
def test_impossible_alphas(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"alpha: given {alpha}; .* 0 <= alpha < 1"):
        ReLoop(FineTune(), alpha)


def _served(logs: Logs) -> Logs:
    """Logs in which every other row says what was served."""
    served = torch.full((len(logs),), 0.25)
    served[::2] = torch.nan
    return replace(logs, served=served)
