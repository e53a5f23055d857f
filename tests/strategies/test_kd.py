"""KD: K1 to K3, the temperature, where a teacher's word is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.loss import Batch, Loss
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.distillation_loss import Distil, soften
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.kd import KD
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow

FIELDS = ("user", "item", "device")
MODEL = DeepFM(fields=FIELDS, numeric=2, width=4, hidden=(8,))
PERIODS = simulated_periods("ctr", FIELDS, numeric=2)
SHORT = TrainConfig(epochs=2, batch_size=16)
LEARNERS = {
    "FineTune": FineTune(SHORT),
    "FullRetrain": FullRetrain(SHORT, window=2),
    "SPMF": SPMF(size=40, training=SHORT),
}


def drawn(seed: int = 0, n: int = 200) -> tuple[Logs, Tensor]:
    """Rows with labels 0 and 1, a teacher's probabilities, and a student's logits."""
    g = torch.Generator().manual_seed(seed)
    logs = PERIODS[-1].select(torch.arange(n))
    return replace(logs, served=torch.rand(n, generator=g)), torch.randn(n, generator=g).mul_(3).requires_grad_()


def told(loss: Loss, logs: Logs, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of all rows in one batch, and its gradient by logit."""
    n = len(logs)
    value = loss(Batch(logits, logs.label, torch.arange(n), logs.rows, torch.zeros(n, 3, 1), n))
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_k1_without_weight_it_is_the_learner_bit_by_bit(learner: FineTune) -> None:
    alone, taught = run_chain(MODEL, learner, PERIODS), run_chain(MODEL, KD(learner, weight=0), PERIODS)
    for one, two in zip(alone, taught, strict=True):
        assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert not torch.equal(run_chain(MODEL, KD(learner, 0.5), PERIODS)[-1].weights["bias"], alone[-1].weights["bias"])


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.7, 1.0])
def test_k2_at_temperature_one_it_is_cross_entropy_with_a_mixed_label(weight: float) -> None:
    logs, logits = drawn()
    value, gradient = told(Distil(1 - weight, weight)(logs), logs, logits)
    mixed = binary_cross_entropy_with_logits(logits, (1 - weight) * logs.label + weight * logs.served)
    assert float(value) == pytest.approx(float(mixed.detach()), abs=1e-7, rel=1e-6)
    assert torch.allclose(gradient, torch.autograd.grad(mixed, logits)[0], atol=1e-7, rtol=0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_k3_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(temperature: float) -> None:
    logs, logits = drawn()
    same = replace(logs, served=logits.detach().sigmoid())
    _, gradient = told(Distil(0, 1, temperature)(same), same, logits)
    assert float(gradient.abs().max()) < 1e-7


def test_the_gradient_keeps_its_size_at_every_temperature() -> None:
    """Without the factor T^2 that of the soft term would fall: at 50 to a fiftieth of T (s(z/T) - s(z'/T))."""
    logs, logits = drawn()
    teacher = torch.logit(logs.served.double())
    for temperature in (0.5, 2.0, 50.0):
        _, gradient = told(Distil(0, 1, temperature)(logs), logs, logits)
        z = logits.detach().double() / temperature
        exact = temperature * (z.sigmoid() - (teacher / temperature).sigmoid()) / len(logs)
        assert torch.allclose(gradient.double(), exact, atol=1e-7 * temperature, rtol=1e-4)
    limit = (logits.detach().double() - teacher) / 4 / len(logs)  # T to infinity: squared error of logits
    assert torch.allclose(gradient.double(), limit, atol=1e-4)


def test_a_certain_teacher_stays_certain_and_a_silent_one_leaves_the_label() -> None:
    assert soften(torch.tensor([0.0, 1.0, 0.5]), 3.0).tolist() == [0.0, 1.0, 0.5]
    logs, logits = drawn()
    _, gradient = told(Distil(0.4, 0.6, 2.0)(replace(logs, served=torch.full((200,), torch.nan))), logs, logits)
    plain = torch.autograd.grad(binary_cross_entropy_with_logits(logits, logs.label), logits)[0]
    assert torch.allclose(gradient, plain, atol=1e-8, rtol=1e-5)


def test_the_teacher_is_yesterdays_version_on_every_row_the_learner_reads() -> None:
    heard: list[Logs] = []

    class Listens(FineTune):
        def learn(self, model, checkpoint, logs, objective):
            heard.append(logs)
            return super().learn(model, checkpoint, logs, objective)

    chain = run_chain(MODEL, KD(Listens(SHORT)), PERIODS)
    for before, logs in zip(chain[1:], heard[1:], strict=False):
        assert torch.equal(logs.served, predict(MODEL, grow(MODEL, before, logs).weights, logs).sigmoid())


def test_a_reservoirs_row_keeps_the_teachers_word_of_its_own_night() -> None:
    chain = run_chain(MODEL, KD(SPMF(size=200, training=SHORT)), PERIODS)
    kept = {k.rsplit("/", 1)[-1]: v for k, v in chain[-1].memory.items() if k.startswith("learner/positives/")}
    for period in range(1, 5):
        mine = kept["periods"] == period
        logs = PERIODS[4].select(PERIODS[4].periods == period)
        teacher = grow(MODEL, chain[period - 1], PERIODS[period])
        said = predict(MODEL, teacher.weights, logs).sigmoid()[logs.label > 0.5]
        assert torch.allclose(kept["served"][mine], said, atol=1e-6), "not the word of the night it came"
    assert (kept["served"] >= 0).all()


def test_a_ranking_is_refused() -> None:
    with pytest.raises(ValueError, match=r"KD learns from probabilities and needs labelled logs; the model MF is for"):
        run_chain(MF(width=4), KD(FineTune(SHORT)), simulated_periods("ranking"))


def test_learners_that_take_no_loss_are_refused_by_name() -> None:
    for learner in (NoUpdate(), AverageWeights(FineTune())):
        with pytest.raises(ValueError, match=rf"{type(learner).__name__} takes none"):
            KD(learner)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": -0.1}, "weight: given -0.1"),
        ({"weight": 1.1}, "0 to 1"),
        ({"weight": float("nan")}, "weight: given nan"),
        ({"temperature": 0}, "temperature: given 0"),
        ({"temperature": -1.0}, "above 0"),
        ({"temperature": float("inf")}, "temperature: given inf"),
    ],
)
def test_impossible_values(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        KD(FineTune(), **options)
