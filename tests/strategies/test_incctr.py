"""IncCTR: its loss in both forms, its two teachers, and that it is what its parts say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.loss import Batch
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.distillation_loss import Distil
from nightloop.tasks.strategies import build
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.incctr import IncCTR
from nightloop.tasks.strategies.kd import KD
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.reloop import ReLoop
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow

FIELDS = ("user", "item", "device")
MODEL = DeepFM(fields=FIELDS, numeric=2, width=4, hidden=(8,))
PERIODS = simulated_periods("ctr", FIELDS, numeric=2)
ONCE = TrainConfig(epochs=1, batch_size=16)


def weights_of(strategy: object) -> list[dict[str, torch.Tensor]]:
    return [dict(checkpoint.weights) for checkpoint in run_chain(MODEL, strategy, PERIODS)]  # type: ignore[arg-type]


def test_with_a_weight_and_its_own_teacher_it_is_distillation() -> None:
    one, two = weights_of(IncCTR(FineTune(ONCE), weight=0.3)), weights_of(KD(FineTune(ONCE), weight=0.3))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(one, two, strict=True) for name in a)


def test_without_a_weight_the_loss_is_the_papers_sum() -> None:
    logs = replace(PERIODS[0], served=torch.linspace(0.05, 0.95, 60))
    logits = torch.randn(60, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = Distil(1.0, 1.0)(logs)(Batch(logits, logs.label, torch.arange(60), logs.rows, torch.zeros(60, 3, 1), 60))
    paper = sum(binary_cross_entropy_with_logits(logits, label) for label in (logs.label, logs.served))
    assert float((value - paper).detach().abs()) < 1e-6
    heard = []

    class Hears(FineTune):
        def learn(self, model, checkpoint, logs, objective):
            heard.append(objective)
            return super().learn(model, checkpoint, logs, objective)

    run_chain(MODEL, IncCTR(Hears(ONCE)), PERIODS[:2])
    assert heard == [Distil(1.0, 1.0)]


def test_a_batch_teacher_is_the_model_that_its_strategy_made_the_night_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightloop.tasks.strategies import incctr as module

    heard = []
    real = module.with_predictions
    monkeypatch.setattr(module, "with_predictions", lambda m, w, logs: heard.append(real(m, w, logs)) or heard[-1])
    batch = FullRetrain(ONCE, begin="scratch", window=3)
    chain = run_chain(MODEL, IncCTR(FineTune(ONCE), teacher=batch), PERIODS)
    alone = run_chain(MODEL, batch, PERIODS)
    for t, rows in enumerate(heard[1:], 1):
        teacher = grow(MODEL, alone[t - 1], PERIODS[t])
        assert set(rows.periods.tolist()) == {t}, "the learner reads the newest period alone"
        assert torch.equal(rows.served, predict(MODEL, teacher.weights, rows).sigmoid())
    last = {name: chain[-1].memory[f"teacher/weights/{name}"] for name in alone[-1].weights}
    assert all(torch.equal(last[name], tensor) for name, tensor in alone[-1].weights.items())


def test_a_teacher_that_never_learns_is_the_pretrained_model_for_ever() -> None:
    chain = run_chain(MODEL, IncCTR(SPMF(size=30, training=ONCE), teacher=NoUpdate()), PERIODS)
    for name, first in chain[0].weights.items():
        kept = chain[-1].memory[f"teacher/weights/{name}"]
        assert torch.equal(kept[: len(first)], first)
    assert not any(name.startswith("teacher") for name in run_chain(MODEL, IncCTR(FineTune(ONCE)), PERIODS)[-1].memory)


def test_lookback_is_the_longer_of_both() -> None:
    assert IncCTR(FineTune(), teacher=FullRetrain(window=7)).lookback == 7 and IncCTR(FineTune()).lookback == 1


def test_from_yaml() -> None:
    options = {"learner": "FineTune", "teacher": {"use": "FullRetrain", "options": {"window": 7}}, "temperature": 2}
    assert build(Part(use="IncCTR", options=options)) == IncCTR(FineTune(), FullRetrain(window=7), temperature=2)
    assert build(Part(use="IncCTR", options={"learner": "SPMF", "teacher": None})) == IncCTR(SPMF())
    given = {"learner": {"use": "FullRetrain", "options": {"window": 3}}, "alpha": 0.3}
    assert build(Part(use="ReLoop", options=given)) == ReLoop(FullRetrain(window=3), 0.3)
    with pytest.raises(ValueError, match=r"teacher: no strategy 'Batch'.*temperature: given 'hot'"):
        build(Part(use="IncCTR", options={"learner": "FineTune", "teacher": "Batch", "temperature": "hot"}))


def test_what_cannot_be_is_refused() -> None:
    for options, said in (({"weight": 2}, "weight: given 2"), ({"temperature": 0}, "temperature: given 0")):
        with pytest.raises(ValueError, match=said):
            IncCTR(FineTune(), **options)
    with pytest.raises(ValueError, match="IncCTR gives its learner another loss, and NoUpdate takes none"):
        IncCTR(NoUpdate())
    with pytest.raises(ValueError, match="IncCTR learns from probabilities and needs labelled logs"):
        run_chain(MF(width=4), IncCTR(FineTune(ONCE)), simulated_periods("ranking"))
    chain = run_chain(MODEL, IncCTR(FineTune(ONCE)), PERIODS[:1])
    with pytest.raises(ValueError, match="IncCTR expects teacher/weights/"):
        IncCTR(FineTune(ONCE), teacher=NoUpdate()).update(MODEL, chain[0], PERIODS[0])
