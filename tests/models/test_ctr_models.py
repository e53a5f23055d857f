"""Every click model: its formula written out, its slope, growth, numbers, bad options, and what it can learn.

A new model is one line in `SMALL`, its formula in `literal_ctr` and its wrong options in `WRONG`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.models import build
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.fused_tables import PREFIX, dense_names
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plugins import classes
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.hidden_features import logits_and_hidden
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow, initial_weights
from tests.models.literal_ctr import SMALL, WITHOUT_LAYERS, WRONG, literal
from tests.models.make_logs import make, same

FIELDS = ("user", "item", "c0", "c1")
CROSSING = [name for name in SMALL if name not in ("LR",) and " " not in name]
LAYERLESS = ("LR", "FM")  # nothing of these is computed in bfloat16


def named(name, fields=FIELDS, numeric=0, **more):
    return build(name.split()[0], {**SMALL[name], **more}, fields, numeric)


def wild(model, logs, spread=0.6):
    """Weights of the model's shapes, none of them nought."""
    g = torch.Generator().manual_seed(1)
    return {
        name: spread * torch.randn(tensor.shape, generator=g) for name, tensor in initial_weights(model, logs).items()
    }


def written_out(name, model, weights, logs):
    """Logits of all rows of `logs`, by the formula."""
    dense = {key: tensor.tolist() for key, tensor in dense_names(weights).items()}
    found = []
    for ids, numbers in zip(logs.rows.tolist(), logs.numeric.double(), strict=True):
        rows = [weights[PREFIX + field][id].tolist() for field, id in zip(model.fields, ids, strict=True)]
        tame = (numbers.sign() * numbers.abs().log1p()).tolist()
        rows += [[x * value for value in row] for x, row in zip(tame, dense.get("numeric", []), strict=True)]
        found.append(literal[name.split()[0]](model, rows, dense))
    return torch.tensor(found)


def test_every_click_model_is_tested():
    clicks = {
        name
        for name in classes("model")
        if classes("model")[name].__module__.startswith("nightloop.tasks.") and _is_click_model(name)
    }
    assert {name.split()[0] for name in SMALL} == set(literal) == set(WRONG) <= clicks


def _is_click_model(name):
    return getattr(classes("model")[name], "family", None) == "ctr"


@pytest.mark.parametrize("numeric", [0, 2])
@pytest.mark.parametrize("fields", [1, 4])
@pytest.mark.parametrize("name", SMALL)
def test_a_logit_is_its_formula(name, fields, numeric):
    logs = make((7, 9, 3, 4), 12, numeric=numeric)
    logs = replace(
        logs, fields=FIELDS[:fields], rows=logs.rows[:, :fields], sizes=logs.sizes[:fields], born=logs.born[:fields]
    )
    if name == "FinalMLP gated" and fields < 2:
        pytest.skip("its contexts are two fields")
    model = named(name, logs.fields, numeric)
    weights = wild(model, logs)
    torch.testing.assert_close(
        predict(model, weights, logs), written_out(name, model, weights, logs), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", SMALL)
def test_the_slope_is_that_of_the_formula(name):
    logs = make((7, 9, 3), 2, numeric=1)
    model = named(name, FIELDS[:3], numeric=1)
    g = torch.Generator().manual_seed(2)
    dense = {n: t.double().requires_grad_() for n, t in dense_names(wild(model, logs)).items()}
    embedded = torch.randn(2, 3, model.width, dtype=torch.float64, generator=g).requires_grad_()
    values = logs.numeric.double()
    call = lambda e, *d: model.logits(e, values, dict(zip(dense, d, strict=True)))  # noqa: E731
    assert torch.autograd.gradcheck(call, (embedded, *dense.values()))


@pytest.mark.parametrize("name", SMALL)
def test_hidden_is_what_the_last_layer_reads(name):
    logs = make((7, 9, 3, 4), 12, numeric=2)
    model = named(name, numeric=2)
    weights = wild(model, logs)
    logits, hidden = logits_and_hidden(model, weights, logs)
    torch.testing.assert_close(logits, predict(model, weights, logs))
    last = [key for key, tensor in weights.items() if key.endswith(".weight") and tensor.shape[0] == 1]
    if name.startswith("FinalMLP"):  # what its perceptrons end in goes into a sum and into products of both
        left, right = (weights[f"{side}.output"] for side in ("left", "right"))
        more = torch.randn(left.shape)
        moved = predict(model, {**weights, "left.output": left + more}, logs)
        torch.testing.assert_close(moved - logits, hidden[:, : len(left)] @ more, rtol=1e-3, atol=1e-3)
        assert hidden.shape[1] == len(left) + len(right)
        return
    if not last:  # no tower: what goes into the model
        assert name.split()[0] in WITHOUT_LAYERS
        assert hidden.shape[1] == 4 * model.width + 2
        return
    first = 0
    for key in sorted(last, reverse=True):  # the tower called layers comes before the one called cross
        # What is added to a last layer's weight changes the logit by its product with what that layer reads.
        more = torch.randn(weights[key].shape)
        read = hidden[:, first : first + more.shape[1]]
        moved = predict(model, {**weights, key: weights[key] + more}, logs)
        torch.testing.assert_close(moved - logits, read @ more[0], rtol=1e-3, atol=1e-3)
        first += more.shape[1]
    assert hidden.shape[1] == first


@pytest.mark.parametrize("name", SMALL)
def test_weights_grow_with_the_vocabulary_and_predictions_stay(name):
    logs = make((7, 9, 3, 4), 30, numeric=1, labels=True)
    model = named(name, numeric=1)
    before = fit(model, initial_weights(model, logs), logs, TrainConfig(epochs=1, batch_size=8))
    sizes = tuple(size + 5 for size in logs.sizes)
    more = replace(logs, sizes=sizes, born=tuple(torch.zeros(size, dtype=torch.int32) for size in sizes))
    grown = grow(model, Checkpoint(0, before.weights), more)
    assert torch.equal(predict(model, grown.weights, more), predict(model, before.weights, logs))
    assert [len(grown.weights[PREFIX + field]) for field in FIELDS] == list(sizes)
    assert same(dense_names(grown.weights), dense_names(before.weights))


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_learns(name):
    """One step moves every tensor: nothing is left out of the logit, and nothing begins where it has no slope."""
    logs = make((7, 9, 3, 4), 200, numeric=2, labels=True)
    model = named(name, numeric=2)
    before = initial_weights(model, logs)
    after = fit(model, before, logs, TrainConfig(epochs=2, batch_size=50)).weights
    still = [key for key in before if torch.equal(before[key], after[key])]
    assert not still, f"{name}: {still} never moved"


@pytest.mark.parametrize("name", SMALL)
def test_numbers_of_any_size_are_tame(name):
    logs = make((7, 9, 3, 4), 40, numeric=2, labels=True)
    logs = replace(logs, numeric=logs.numeric * 1e12)
    model = named(name, numeric=2)
    fitted = fit(model, initial_weights(model, logs), logs, TrainConfig(epochs=2, batch_size=8))
    assert float(predict(model, fitted.weights, logs).abs().max()) < 50


def crossed_world(rows):
    """Two fields of 6 whose classes mod 2 say yes where they are equal, which no sum of two weights can, and two of noise."""
    logs = make((6, 6, 5, 5), rows, numeric=1, seed=3)
    return replace(logs, label=((logs.rows[:, 0] + logs.rows[:, 1]) % 2 == 0).float())


@pytest.mark.parametrize("name", ["LR", *CROSSING])
def test_a_planted_cross_is_learned_by_all_but_the_linear_model(name):
    logs = crossed_world(1500)
    wide = {"hidden": [32]} if "hidden" in SMALL[name] else {}
    if name == "FinalMLP":
        wide = {"towers": [[32], [32]]}
    model = named(name, numeric=1, **wide)
    train, held_out = logs.select(torch.arange(1200)), logs.select(torch.arange(1200, 1500))
    training = TrainConfig(epochs=8, batch_size=50, lr=0.1, dense_lr=0.01)
    weights = fit(model, initial_weights(model, train), train, training).weights
    found = float(auc(held_out.label, predict(model, weights, held_out).sigmoid()))
    assert found < 0.6 if name == "LR" else found > 0.95, found


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_is_for_the_layers_alone(name):
    """Half the digits cost a little where there are layers, and nothing where there are none."""
    logs = make((7, 9, 3, 4), 100, numeric=2, labels=True)
    model = named(name, numeric=2)
    weights = wild(model, logs, 0.3)
    embedded = torch.stack([weights[PREFIX + f][logs.rows[:, k]] for k, f in enumerate(FIELDS)], 1).requires_grad_()
    whole = model.logits(embedded, logs.numeric, dense_names(weights))
    with torch.autocast("cpu", torch.bfloat16):
        half = model.logits(embedded, logs.numeric, dense_names(weights))
    half.float().sum().backward()
    assert bool(torch.isfinite(embedded.grad).all())
    if name in LAYERLESS:
        assert half.dtype == torch.float32 and torch.equal(half, whole)
    torch.testing.assert_close(half.float(), whole, rtol=0.05, atol=0.05)
    fitted = fit(model, initial_weights(model, logs), logs, TrainConfig(epochs=1, batch_size=20, precision="bfloat16"))
    assert all(tensor.dtype == torch.float32 for tensor in fitted.weights.values())


@pytest.mark.parametrize("gain", [0, -1.0, float("inf")])
def test_nfms_gain_is_a_number_above_nought(gain):
    with pytest.raises(ValueError, match=r"NFM\.gain: given .*; numbers above 0"):
        build("NFM", {"gain": gain}, FIELDS, 0)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_named_with_what_is_allowed(name):
    options, message = WRONG[name]
    with pytest.raises(ValueError, match=rf"{name}\..*{message}"):
        build(name, options, FIELDS, 0)
    with pytest.raises(ValueError, match=rf"{name}\.numeric: given -1"):
        build(name, {}, FIELDS, -1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"towers": [[4]]}, "two lists"),
        ({"towers": [[4], []]}, "two lists"),
        ({"towers": [[4], [5]], "heads": 2}, "a multiple of heads 2"),
        ({"contexts": [["user"]]}, "two lists of fields"),
        ({"heads": 0}, "heads: given 0"),
    ],
)
def test_final_mlp_says_what_its_lists_must_be(options, message):
    with pytest.raises(ValueError, match=message):
        build("FinalMLP", options, FIELDS, 0)
