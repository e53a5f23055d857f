"""MF and DeepFM against their formulas written out, predictions for unseen ids, and models by name."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nightloop.tasks.models import build
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plugins import classes
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.models.make_logs import make, same

LOGS = make((7, 9, 3), 20, numeric=2, labels=True)


def literal_deepfm(weights, rows, numeric) -> float:
    """One row's logit by strategies.md section 11, number by number."""
    vectors, first = [], 0.0
    for field, row in zip(("user", "item", "c0"), rows, strict=True):
        *e, w = weights[f"table.{field}"][row].tolist()
        vectors.append(e)
        first += w
    for x, row in zip(numeric, weights["numeric"].tolist(), strict=True):
        tame = math.copysign(math.log(1 + abs(x)), x)
        *e, w = [tame * value for value in row]
        vectors.append(e)
        first += w
    second = 0.0
    for i in range(len(vectors)):
        for j in range(i + 1, len(vectors)):
            second += sum(a * b for a, b in zip(vectors[i], vectors[j], strict=True))
    values = [v for e in vectors for v in e]
    for place in range(3):
        weight, bias = weights[f"layers.{place}.weight"].tolist(), weights[f"layers.{place}.bias"].tolist()
        values = [
            sum(w * v for w, v in zip(line, values, strict=True)) + b for line, b in zip(weight, bias, strict=True)
        ]
        values = [max(v, 0.0) for v in values] if place < 2 else values
    return float(weights["bias"]) + first + second + values[0]


def test_deepfm_is_its_formula():
    model = DeepFM(LOGS.fields, numeric=2, width=4, hidden=(5, 6), scale=0.5)
    weights = {name: torch.randn_like(tensor) for name, tensor in initial_weights(model, LOGS).items()}
    found = predict(model, weights, LOGS).tolist()
    for n in range(len(LOGS)):
        expected = literal_deepfm(weights, LOGS.rows[n].tolist(), LOGS.numeric[n].tolist())
        assert found[n] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("numeric", [0, 2])
def test_deepfm_gradients(numeric):
    model = DeepFM(LOGS.fields, numeric=numeric, width=2, hidden=(3,))
    dense = {n: t.double().requires_grad_() for n, t in model.dense(torch.Generator().manual_seed(0)).items()}
    embedded = torch.randn(4, 3, 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(4, numeric, dtype=torch.float64)
    call = lambda e, *d: model.logits(e, values, dict(zip(dense, d, strict=True)))  # noqa: E731
    assert torch.autograd.gradcheck(call, (embedded, *dense.values()))


@pytest.mark.parametrize("biases", [False, True])
def test_mf_factors_give_the_logits(biases):
    logs = make((7, 9), 20)
    model = MF(width=3, biases=biases)
    weights = {name: torch.randn_like(tensor) for name, tensor in initial_weights(model, logs).items()}
    users, items = model.factors(weights)
    p, q = weights["table.user"][logs.rows[:, 0]], weights["table.item"][logs.rows[:, 1]]
    expected = (p[:, :3] * q[:, :3]).sum(1) + (p[:, 3] + q[:, 3] if biases else 0)
    torch.testing.assert_close(predict(model, weights, logs), expected)
    torch.testing.assert_close((users[logs.rows[:, 0]] * items[logs.rows[:, 1]]).sum(1), expected)


def test_new_rows_have_the_stated_spread():
    rows = MF(width=64, biases=True).new_rows("user", 4000, torch.Generator().manual_seed(0))
    assert rows.shape == (4000, 65) and not bool(rows[:, 64].any())
    assert float(rows[:, :64].std()) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("model", [MF(width=3), DeepFM(("user", "item"), width=3, hidden=(4,))])
def test_an_unseen_id_counts_as_a_row_of_zeros(model):
    logs = make((7, 9), 5)
    weights = initial_weights(model, logs)
    unseen = logs.rows.clone()
    unseen[:, 1] = torch.tensor([9, 500, -1, 10**9, 8])
    padded = {**weights, "table.item": torch.cat([weights["table.item"], torch.zeros(1, model.width)])}
    as_zero = torch.where((unseen[:, 1] < 0) | (unseen[:, 1] > 8), 9, unseen[:, 1])
    expected = predict(model, padded, replace(logs, rows=torch.stack([unseen[:, 0], as_zero], 1)))
    assert torch.equal(predict(model, weights, replace(logs, rows=unseen)), expected)
    if isinstance(model, MF):
        assert not bool(predict(model, weights, replace(logs, rows=unseen))[:4].any())


def test_prediction_does_not_depend_on_the_batch_and_refuses_nan():
    model = DeepFM(LOGS.fields, numeric=2, width=4, hidden=(5,))
    weights = initial_weights(model, LOGS)
    torch.testing.assert_close(predict(model, weights, LOGS, batch=3), predict(model, weights, LOGS))
    assert predict(model, weights, LOGS.select(torch.tensor([], dtype=torch.int64))).shape == (0,)
    with pytest.raises(ValueError, match="not finite"):
        predict(model, {**weights, "bias": torch.tensor([float("nan")])}, LOGS)


def test_numbers_of_any_size_are_tame():
    logs = replace(LOGS, numeric=LOGS.numeric * 1e12)
    model = DeepFM(logs.fields, numeric=2, width=4, hidden=(5,))
    fitted = fit(model, initial_weights(model, logs), logs, TrainConfig(batch_size=8))
    assert float(predict(model, fitted.weights, logs).abs().max()) < 50


def test_models_are_found_by_name():
    assert {"MF", "DeepFM"} <= classes("model").keys()
    assert build("MF", {"width": 8, "biases": True}, ("user", "item"), 0).width == 9
    model = build("DeepFM", {"hidden": [4, 4]}, ("user", "item", "device"), 3)
    assert model.fields == ("user", "item", "device") and model.numeric == 3 and model.width == 11


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("MFF", {}, "no model 'MFF' \\(did you mean MF\\?\\); installed are .*MF"),
        ("MF", {"depth": 3}, "MF.depth: no such option of MF; it has width, biases, scale"),
        ("MF", {"width": -1}, "whole numbers from 1"),
        ("MF", {"width": "big"}, "width"),
        ("MF", {"width": 10**9}, "width: given 1000000000; whole numbers from 1 to 10,000"),
        ("LightGCN", {"layers": 10**9}, "whole numbers from 1 to 1,000"),
        ("DeepFM", {"hidden": [400, 10**30]}, "hidden: given 10+; whole numbers from 1 to 10,000"),
        ("MF", {"scale": "big"}, "scale"),
        ("DeepFM", {"fields": ["a"]}, "fields: no such option of DeepFM; it has width, hidden, scale"),
        ("DeepFM", {"hidden": [0]}, "hidden: given 0"),
        ("DeepFM", {"hidden": 400}, "hidden: given 400; input should be"),
    ],
)
def test_wrong_options_are_named_with_the_legal_ones(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, options, ("user", "item"), 0)


def test_first_values_are_the_same_for_everyone():
    model = DeepFM(LOGS.fields, numeric=2)
    assert same(initial_weights(model, LOGS), initial_weights(DeepFM(LOGS.fields, numeric=2), LOGS))
    assert not same(initial_weights(model, LOGS), initial_weights(model, replace(LOGS, seed=1)))


def test_bfloat16_is_for_the_layers_alone():
    """Under autocast the factorisation machine and the weights keep all their digits."""
    model = DeepFM(("user", "item", "c0"), width=4, hidden=(5,))
    dense = {n: torch.zeros_like(t) for n, t in model.dense(torch.Generator().manual_seed(0)).items()}
    embedded = torch.randn(50, 3, 5, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        half = model.logits(embedded, torch.zeros(50, 0), dense)
    assert half.dtype == torch.float32
    assert torch.equal(half, model.logits(embedded, torch.zeros(50, 0), dense))
