"""Fit: closed form against autograd, determinism, order, what it refuses, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.layers.mlp import dropout, mlp_forward
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.progress import listening
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.models.make_logs import make, same

FIELDS = ("user", "item", "c0")
MODELS = {
    "MF": MF(width=6),
    "MF-biases": MF(width=6, biases=True),
    "DeepFM": DeepFM(FIELDS, numeric=2, width=4, hidden=(8, 8)),
}
SHORT = TrainConfig(epochs=3, batch_size=32, lr=0.05)


def logs_for(name: str, n: int = 200, seed: int = 0):
    return make((15, 40, 3), n, 2, seed, labels=True) if name == "DeepFM" else make((15, 40), n, seed=seed)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_closed_form_equals_autograd(biases, l2, optimizer):
    model, logs = MF(width=6, biases=biases), make((15, 40), 200)
    training = replace(SHORT, l2=l2, optimizer=optimizer)
    weights = initial_weights(model, logs)
    closed = fit(model, weights, logs, training)
    by_autograd = fit(model, weights, logs, training, loss=lambda batch: cross_entropy(batch))
    for name in weights:
        assert not torch.allclose(closed.weights[name], weights[name], atol=1e-3)
        torch.testing.assert_close(closed.weights[name], by_autograd.weights[name], rtol=1e-3, atol=2e-5)


def test_one_step_equals_the_formula():
    """One batch, one epoch: W - rate g / sqrt(mean g^2), with g written out by a loop over rows."""
    model, logs = MF(width=3), make((4, 9), 12)
    seen = []
    by_autograd = lambda batch: seen.append(batch) or cross_entropy(batch)  # noqa: E731
    weights = initial_weights(model, logs)
    fitted = fit(model, weights, logs, TrainConfig(epochs=1, batch_size=100, lr=0.1), loss=by_autograd)
    gradient = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    for (user, item), label in zip(seen[0].rows.tolist(), seen[0].label.tolist(), strict=True):
        p, q = weights["table.user"][user], weights["table.item"][item]
        error = torch.sigmoid(p @ q) - label
        gradient["table.user"][user] += error * q
        gradient["table.item"][item] += error * p
    for name, g in gradient.items():
        expected = weights[name] - 0.1 * g / (g.square().mean(1, keepdim=True).sqrt() + 1e-8)
        torch.testing.assert_close(fitted.weights[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_inputs_stay_as_they_are(name):
    model, logs = MODELS[name], logs_for(name)
    weights = initial_weights(model, logs)
    state = fit(model, weights, logs, SHORT).optimizer
    before = [{k: v.clone() for k, v in tensors.items()} for tensors in (weights, state)]
    rows, label = logs.rows.clone(), logs.label.clone()
    fit(model, weights, logs, SHORT, state=state)
    assert same(before[0], weights) and same(before[1], state)
    assert torch.equal(rows, logs.rows) and torch.equal(label, logs.label)


@pytest.mark.parametrize("name", MODELS)
def test_same_inputs_same_bytes_whatever_the_global_generator(name):
    model, logs = MODELS[name], logs_for(name)
    weights = initial_weights(model, logs)
    torch.manual_seed(1)
    once = fit(model, weights, logs, SHORT)
    torch.manual_seed(2)
    again = fit(model, weights, logs, SHORT)
    assert same(once.weights, again.weights) and same(once.optimizer, again.optimizer)
    other = fit(model, weights, replace(logs, seed=9), SHORT)
    assert not same(once.weights, other.weights)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ties", [False, True])
def test_the_order_of_rows_changes_nothing(name, ties):
    model, logs = MODELS[name], logs_for(name)
    logs = replace(logs, time=logs.time // 50) if ties else logs
    weights = initial_weights(model, logs)
    shuffled = logs.select(torch.randperm(len(logs), generator=torch.Generator().manual_seed(5)))
    assert same(fit(model, weights, logs, SHORT).weights, fit(model, weights, shuffled, SHORT).weights)


def test_positions_name_rows_of_the_given_logs():
    model = MODELS["MF"]
    logs = make((15, 40), 50).select(torch.randperm(50, generator=torch.Generator().manual_seed(5)))

    def loss(batch: Batch) -> torch.Tensor:
        taken = batch.rows[: batch.taken]
        assert torch.equal(taken, logs.rows[batch.positions[: batch.taken]])
        assert torch.equal(batch.rows[batch.taken :, 0], logs.rows[batch.positions[batch.taken :], 0])
        assert batch.label.sum() == batch.taken
        return cross_entropy(batch)

    fit(model, initial_weights(model, logs), logs, SHORT, loss=loss)


def test_a_loss_may_pull_towards_earlier_rows():
    """What L2SP needs: a penalty on embedded rows through their vocabulary rows."""
    model, logs = MODELS["MF"], logs_for("MF")
    weights = initial_weights(model, logs)
    anchor = [weights["table.user"], weights["table.item"]]

    def pulled(batch: Batch) -> torch.Tensor:
        earlier = torch.stack([table[batch.rows[:, f]] for f, table in enumerate(anchor)], 1)
        return cross_entropy(batch) + 1e3 * (batch.embedded - earlier).square().sum() / batch.taken

    far = fit(model, weights, logs, replace(SHORT, lr=0.01)).weights
    near = fit(model, weights, logs, replace(SHORT, lr=0.01), loss=pulled).weights
    moved = [sum(float((w[n] - weights[n]).square().sum()) for n in weights) for w in (far, near)]
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
@pytest.mark.parametrize("name", MODELS)
def test_state_in_state_out(name, optimizer):
    """Kept state slows Adagrad down, and Adam goes on where it was; new state is all zeros without rows."""
    model, logs = MODELS[name], logs_for(name)
    training, weights = replace(SHORT, optimizer=optimizer), initial_weights(model, logs)
    first = fit(model, weights, logs, training)
    kept = fit(model, first.weights, logs, training, state=first.optimizer)
    anew = fit(model, first.weights, logs, training)
    assert not same(kept.weights, anew.weights)
    assert first.optimizer.keys() == kept.optimizer.keys()
    nothing = fit(model, weights, logs.select(torch.zeros(len(logs), dtype=torch.bool)), training)
    assert all(not bool(tensor.any()) for tensor in nothing.optimizer.values())
    untouched = fit(model, weights, logs.select(torch.tensor([], dtype=torch.int64)), training, state=first.optimizer)
    assert same(untouched.optimizer, first.optimizer) and same(untouched.weights, weights)


def test_state_of_another_rule_is_refused():
    model, logs = MODELS["MF"], logs_for("MF")
    weights = initial_weights(model, logs)
    state = fit(model, weights, logs, SHORT).optimizer
    with pytest.raises(ValueError, match="does not fit adam"):
        fit(model, weights, logs, replace(SHORT, optimizer="adam"), state=state)


def test_rows_without_data_stay_where_they_are():
    model, logs = MODELS["DeepFM"], logs_for("DeepFM", n=5)
    weights = initial_weights(model, logs)
    fitted = fit(model, weights, logs, replace(SHORT, l2=0.1)).weights
    idle = torch.ones(15, dtype=torch.bool)
    idle[logs.rows[:, 0]] = False
    assert torch.equal(fitted["table.user"][idle], weights["table.user"][idle])
    assert not torch.equal(fitted["table.user"][~idle], weights["table.user"][~idle])


@pytest.mark.parametrize("name", MODELS)
def test_a_single_row(name):
    model, logs = MODELS[name], logs_for(name).select(torch.tensor([3]))
    fitted = fit(model, initial_weights(model, logs), logs, SHORT)
    assert bool(torch.isfinite(predict(model, fitted.weights, logs)).all())


def test_a_user_who_took_everything_learns_from_positives_alone():
    model, logs = MF(width=4), make((1, 1), 1)
    fitted = fit(model, initial_weights(model, logs), logs, TrainConfig(epochs=30, lr=0.1))
    assert float(predict(model, fitted.weights, logs)) > 1.0


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_kind(label):
    model, logs = MODELS["DeepFM"], logs_for("DeepFM")
    logs = replace(logs, label=torch.full((len(logs),), label))
    fitted = fit(model, initial_weights(model, logs), logs, replace(SHORT, dense_lr=0.01))
    mean = float(torch.sigmoid(predict(model, fitted.weights, logs)).mean())
    assert abs(mean - label) < 0.25


@pytest.mark.parametrize("name", MODELS)
def test_divergence_names_the_epoch_and_the_rate(name):
    model, logs = MODELS[name], logs_for(name)
    with pytest.raises(ValueError, match=r"diverged in epoch 1 of 3.*lr 1e\+15"):
        fit(model, initial_weights(model, logs), logs, replace(SHORT, lr=1e15))


def test_nan_from_a_loss_names_the_epoch():
    model, logs = MODELS["MF"], logs_for("MF")
    with pytest.raises(ValueError, match="diverged in epoch 1 of 3"):
        fit(model, initial_weights(model, logs), logs, SHORT, loss=lambda batch: cross_entropy(batch) * float("nan"))


def test_what_does_not_fit_is_refused():
    model, logs = MODELS["DeepFM"], logs_for("DeepFM")
    weights = initial_weights(model, logs)
    cases = [
        (weights, replace(logs, label=logs.label * 5), "labels must be numbers from 0 to 1"),
        (weights, replace(logs, label=logs.label * float("nan")), "labels must be numbers from 0 to 1"),
        (weights, replace(logs, numeric=logs.numeric * float("nan")), "NaN or infinity"),
        (weights, replace(logs, sizes=(99, 40, 3)), "grow the checkpoint first"),
        (weights, replace(logs, fields=("user", "item", "other")), "the logs have user, item, other"),
        ({k: v for k, v in weights.items() if k != "table.c0"}, logs, "no table.c0"),
        ({**weights, "bias": torch.tensor([float("nan")])}, logs, "bias: weights hold NaN"),
    ]
    for w, wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            fit(model, w, wrong, SHORT)


@pytest.mark.parametrize("name", MODELS)
def test_progress_counts_every_row_and_changes_nothing(name):
    model, logs = MODELS[name], logs_for(name)
    heard: list[tuple[int, int]] = []
    weights = initial_weights(model, logs)
    with listening(lambda done, total: heard.append((done, total))):
        told = fit(model, weights, logs, SHORT)
    assert heard[-1] == (600, 600) and heard == sorted(heard) and len(heard) in (3, 21)  # compiled, or not
    assert same(told.weights, fit(model, weights, logs, SHORT).weights)


def test_a_ranking_learns_who_likes_what():
    """Two groups of users, two groups of items: after training each group prefers its own."""
    g = torch.Generator().manual_seed(0)
    user = torch.randint(40, (3000,), generator=g)
    item = torch.randint(30, (3000,), generator=g) + 30 * (user % 2)
    logs = replace(make((40, 60), 3000), rows=torch.stack([user, item], 1))
    model = MF(width=8)
    fitted = fit(model, initial_weights(model, logs), logs, TrainConfig(epochs=20, batch_size=256, lr=0.1))
    users, items = model.factors(fitted.weights)
    scores = users @ items.T
    own = scores[0::2, :30].mean() + scores[1::2, 30:].mean()
    assert own > scores[0::2, 30:].mean() + scores[1::2, :30].mean() + 4


def test_bfloat16_is_a_choice_and_changes_little():
    model, logs = MODELS["DeepFM"], logs_for("DeepFM")
    weights = initial_weights(model, logs)
    full = predict(model, fit(model, weights, logs, SHORT).weights, logs)
    half = predict(model, fit(model, weights, logs, replace(SHORT, precision="bfloat16")).weights, logs)
    assert not torch.equal(full, half) and float((full - half).abs().max()) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs: given -1"),
        ({"batch_size": 0}, "batch_size: given 0"),
        ({"lr": float("nan")}, "lr: given nan"),
        ({"lr": 0}, "lr: given 0"),
        ({"optimizer": "sgd"}, "allowed are adagrad, adam"),
        ({"precision": "float16"}, "allowed are float32, bfloat16"),
        ({"l2": -0.1, "batch_size": True}, "batch_size: given True.*l2: given -0.1"),
        ({"dropout": 1, "lr_decay": 0}, "dropout: given 1; .*lr_decay: given 0; "),
        ({"negatives": 0, "loss": "hinge", "sampling": "x"}, "negatives: given 0; .*loss: given 'hinge'.*sampling"),
    ],
)
def test_schedule_says_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)


def test_dropout_trains_other_weights_and_the_same_bytes_on_any_number_of_threads():
    model, logs, found = MODELS["DeepFM"], make((15, 40, 3), 3000, 2, labels=True), []
    weights = initial_weights(model, logs)
    training = TrainConfig(epochs=2, batch_size=1500, dropout=0.5)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(fit(model, weights, logs, training).weights)
    finally:
        torch.set_num_threads(before)
    assert same(found[0], found[1]) and same(found[0], found[2])
    assert not same(found[0], fit(model, weights, logs, replace(training, dropout=0.0)).weights)


def test_dropout_keeps_the_mean_and_ends_with_its_context():
    layers, ones = {"layers.0.weight": torch.eye(1), "layers.0.bias": torch.zeros(1)}, torch.ones(20_000, 1)
    layers |= {"layers.1.weight": torch.eye(1), "layers.1.bias": torch.zeros(1)}
    with dropout(0.25, torch.Generator().manual_seed(0)):
        dropped = mlp_forward(ones, layers)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3]) and abs(dropped.mean().item() - 1) < 0.02
    assert torch.equal(mlp_forward(ones, layers), ones)


def test_the_rate_decays_by_epoch_and_all_rows_shrink():
    """With a rate that falls to a thousandth the second epoch moves hardly anything."""
    model, logs = MODELS["MF"], logs_for("MF")
    weights = initial_weights(model, logs)
    one, two = (fit(model, weights, logs, replace(SHORT, epochs=n, lr_decay=0.001)).weights for n in (1, 2))
    assert (one["table.item"] - two["table.item"]).abs().max() < 0.002 * (
        one["table.item"] - weights["table.item"]
    ).abs().max()
    idle = torch.ones(15, dtype=torch.bool)
    few = logs.select(torch.arange(5))
    idle[few.rows[:, 0]] = False
    shrunk = fit(model, weights, few, replace(SHORT, epochs=2, weight_decay=0.1)).weights
    torch.testing.assert_close(shrunk["table.user"][idle], weights["table.user"][idle] * 0.81)
