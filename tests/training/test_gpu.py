"""Training on a GPU: on a simulated device, and on a real one if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.models import build
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.gru4rec import GRU4Rec
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.retrain import _raise_machine_error
from nightloop.tasks.retraining.distillation_loss import Distil
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.training import fit as fitting
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.models.literal_ctr import SMALL
from tests.models.make_logs import make
from tests.training.simulated_gpu import AWAY, simulated_gpu
from tests.training.test_fit import FIELDS, MODELS, logs_for

ON_GPU = TrainConfig(epochs=3, batch_size=32, lr=0.05, l2=0.01, device="cuda")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`cuda` is a device that is simulated on the CPU."""
    monkeypatch.setattr(
        fitting, "device_of", lambda model, training: AWAY if training.device == "cuda" else torch.device("cpu")
    )
    with simulated_gpu():
        yield


OPTIONS = [{}, {"optimizer": "adam", "dropout": 0.3}, {"lr_decay": 0.5, "weight_decay": 0.1, "parts": 1}]
RANKING = [{}, {"loss": "softmax", "negatives": 4}, {"loss": "bpr", "sampling": "frequency"}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", MODELS)
def test_a_device_trains_as_the_cpu_does(name: str, options: dict[str, object], device: None) -> None:
    more = options if name == "DeepFM" else {n: v for n, v in options.items() if n != "dropout"}
    compare(MODELS[name], replace(ON_GPU, **more), logs_for(name))


@pytest.mark.parametrize("options", RANKING)
def test_so_it_does_with_every_loss_of_a_ranking(options: dict[str, object], device: None) -> None:
    compare(MODELS["MF-biases"], replace(ON_GPU, **options), logs_for("MF"))


@pytest.mark.parametrize("name", SMALL)
def test_every_click_model_trains_on_a_device(name: str, device: None) -> None:
    compare(build(name.split()[0], SMALL[name], FIELDS, 2), ON_GPU, logs_for("DeepFM"))


def compare(model: Model, training: TrainConfig, logs: Logs) -> None:
    weights = initial_weights(model, logs)
    there = fit(model, weights, logs, training)
    here = fit(model, weights, logs, replace(training, device="cpu", parts=1))
    for kind in ("weights", "optimizer"):
        assert getattr(there, kind).keys() == getattr(here, kind).keys()
        for part, tensor in getattr(there, kind).items():
            assert tensor.device.type == "cpu"
            torch.testing.assert_close(tensor, getattr(here, kind)[part], rtol=1e-4, atol=1e-5)


def test_a_loss_and_a_penalty_of_a_strategy_meet_their_own_tensors(device: None) -> None:
    model, logs = MODELS["DeepFM"], logs_for("DeepFM")
    weights = initial_weights(model, logs)
    taught = replace(logs, served=torch.rand(len(logs)))
    results = [
        fit(model, weights, logs, training, Distil(0.5, 0.5, 2.0)(taught), None, Penalty(0.1, weights)).weights
        for training in (ON_GPU, replace(ON_GPU, device="cpu", parts=1))
    ]
    for name in weights:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-4, atol=1e-5)


def test_where_there_is_no_gpu_the_night_stops_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    logs = logs_for("MF")
    with pytest.raises(ConflictError, match="torch finds no GPU on this machine") as raised:
        fit(MF(width=6), initial_weights(MF(width=6), logs), logs, ON_GPU)
    with pytest.raises(ConflictError):  # the night can be run again where there is one; the strategy did not fail
        _raise_machine_error(raised.value, "retrain")


def test_what_trains_on_the_cpu_alone_refuses_a_gpu() -> None:
    with pytest.raises(PlanError, match="device: given 'tpu'; allowed are cpu, cuda"):
        TrainConfig(device="tpu")
    with pytest.raises(PlanError, match="SML trains on the CPU"):
        SML(transfer_training=ON_GPU)
    with pytest.raises(PlanError, match="ASMG's generator trains on the CPU"):
        ASMG(FineTune(), training=ON_GPU)
    logs = make((15, 40), 60)
    model = GRU4Rec(history=3, width=4)
    with pytest.raises(PlanError, match="GRU4Rec trains on the CPU"):
        fit(model, initial_weights(model, logs), logs, ON_GPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_real_gpu_the_predictions_are_as_good(precision: str) -> None:
    model, logs = DeepFM(("user", "item", "c0"), numeric=2, width=4, hidden=(8, 8)), logs_for("DeepFM", 2_000)
    weights, training = initial_weights(model, logs), replace(ON_GPU, precision=precision)
    there, here = (
        predict(model, fit(model, weights, logs, t).weights, logs) for t in (training, replace(training, device="cpu"))
    )
    assert abs(auc(logs.label, there) - auc(logs.label, here)) < 0.001
