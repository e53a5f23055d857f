"""Growth: every parallel tensor grows with the vocabulary, and ids that nobody uses change no prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, from_bytes, pack, to_bytes, unpack
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow, initial_weights
from tests.models.make_logs import make

SMALL = make((5, 8, 3), 60, numeric=1, labels=True)
LARGE = replace(make((7, 12, 3), 60, numeric=1, labels=True), period=1)
MODEL = DeepFM(SMALL.fields, numeric=1, width=3, hidden=(4,))


def checkpoint(optimizer="adam"):
    fitted = fit(MODEL, initial_weights(MODEL, SMALL), SMALL, TrainConfig(optimizer=optimizer))
    memory = {
        **pack("optimizer", fitted.optimizer),
        **pack("learner/weights", fitted.weights),
        "reservoir": torch.arange(20),
        "weights/counts": torch.ones(5),
    }
    return Checkpoint(0, fitted.weights, memory)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_every_parallel_tensor_grows(optimizer):
    old = checkpoint(optimizer)
    grown = grow(MODEL, old, LARGE)
    sizes = dict(zip(LARGE.fields, LARGE.sizes, strict=True))
    for tensors, before in ((grown.weights, old.weights), (grown.memory, old.memory)):
        assert tensors.keys() == before.keys()
        for name, tensor in tensors.items():
            field = name.rsplit("/", 1)[-1].removeprefix("table.")
            if field not in sizes:
                assert tensor is before[name]
                continue
            kept = len(before[name])
            assert len(tensor) == sizes[field] and torch.equal(tensor[:kept], before[name])
            if "weights" in name.split("/") or "/" not in name:
                assert torch.equal(tensor[kept:], grown.weights[f"table.{field}"][kept:])
                assert len(tensor) == kept or bool(tensor[kept:].any())
            else:
                assert not bool(tensor[kept:].any())
    assert grown.period == 0


def test_growth_is_the_same_for_every_strategy_and_only_once():
    one, two = checkpoint(), Checkpoint(0, initial_weights(MODEL, SMALL))
    a, b = grow(MODEL, one, LARGE), grow(MODEL, two, LARGE)
    assert torch.equal(a.weights["table.item"][8:], b.weights["table.item"][8:])
    again = grow(MODEL, a, LARGE)
    assert all(again.weights[name] is a.weights[name] for name in a.weights)


def test_a_grown_checkpoint_trains_on_with_its_state():
    grown = grow(MODEL, checkpoint(), LARGE)
    fit(MODEL, grown.weights, LARGE, TrainConfig(optimizer="adam"), state=unpack("optimizer", grown.memory))


@pytest.mark.parametrize("model", [MODEL, MF(width=4), MF(width=4, biases=True)])
def test_unused_ids_change_no_prediction(model):
    weights = initial_weights(model, SMALL)
    grown = grow(model, Checkpoint(0, weights), LARGE)
    assert torch.equal(predict(model, weights, SMALL), predict(model, grown.weights, SMALL))


def test_what_is_not_parallel_is_refused():
    with pytest.raises(ValueError, match="never shrinks"):
        grow(MODEL, grow(MODEL, checkpoint(), LARGE), SMALL)
    old = checkpoint()
    memory = {**old.memory, "optimizer/first/table.item": torch.zeros(3, 4)}
    with pytest.raises(ValueError, match="must be parallel"):
        grow(MODEL, replace(old, memory=memory), LARGE)
    with pytest.raises(ValueError, match=r"no table\.c0"):
        grow(MODEL, replace(old, weights={k: v for k, v in old.weights.items() if k != "table.c0"}), LARGE)


def test_checkpoints_survive_the_disk_and_nothing_else_does():
    old = checkpoint()
    data = to_bytes(old.memory)
    assert data == to_bytes(dict(reversed(old.memory.items())))
    back = from_bytes(data)
    assert back.keys() == old.memory.keys() and all(torch.equal(back[k], old.memory[k]) for k in back)
    for broken in (b"", data[:-1], data[: len(data) // 2], b"\x80\x04pickle" * 9, data + b"x"):
        with pytest.raises(ValueError, match="not a safetensors"):
            from_bytes(broken)
