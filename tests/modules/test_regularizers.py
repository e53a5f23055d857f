"""Pull and Fisher: closed form against autograd, and by the formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.fused_tables import PREFIX
from nightloop.tasks.modules.loss import cross_entropy
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fisher import fisher
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import initial_weights
from tests.models.make_logs import make

SHORT = TrainConfig(epochs=3, batch_size=32, lr=0.05)
DEEP = DeepFM(("user", "item", "c0"), numeric=2, width=4, hidden=(8,))


@pytest.mark.parametrize("weighted", [False, True])
def test_closed_form_equals_autograd(weighted: bool) -> None:
    model, logs = MF(width=6, biases=True), make((15, 40), 200)
    weights = initial_weights(model, logs)
    importance = {n: torch.rand(w.shape) for n, w in weights.items()} if weighted else None
    penalty = Penalty(0.5, weights, importance)
    closed = fit(model, weights, logs, SHORT, penalty=penalty)
    slow = fit(model, weights, logs, SHORT, loss=lambda batch: cross_entropy(batch), penalty=penalty)
    for name in weights:
        torch.testing.assert_close(closed.weights[name], slow.weights[name], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("model", [MF(width=6), DEEP], ids=["MF", "DeepFM"])
def test_the_stronger_the_pull_the_nearer_the_anchor(model) -> None:
    logs = make((15, 40, 3), 200, 2, labels=True) if model is DEEP else make((15, 40), 200)
    weights = initial_weights(model, logs)
    away = []
    for strength in (0.0, 1.0, 100.0):
        found = fit(model, weights, logs, replace(SHORT, epochs=20), penalty=Penalty(strength, weights)).weights
        away.append(float(sum((found[n] - weights[n]).square().sum() for n in weights)))
    assert away[0] > away[1] > away[2]
    nothing = fit(model, weights, logs, SHORT, penalty=Penalty(0.0, weights)).weights
    assert all(torch.equal(nothing[n], fit(model, weights, logs, SHORT).weights[n]) for n in weights)


def test_an_anchor_of_another_shape_is_refused() -> None:
    model, logs = MF(width=6), make((15, 40), 20)
    weights = initial_weights(model, logs)
    with pytest.raises(ValueError, match="anchor of a penalty must have"):
        fit(model, weights, logs, SHORT, penalty=Penalty(1.0, {**weights, "table.user": torch.zeros(3, 6)}))


def test_fisher_is_the_mean_of_squared_gradients_of_rows() -> None:
    """Row by row, with autograd on the whole table and the dense weights, against the batched sums."""
    logs = make((6, 9, 3), 30, 2, labels=True)
    weights = initial_weights(DEEP, logs)
    found = fisher(DEEP, weights, logs)
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    slow = {n: torch.zeros_like(t) for n, t in leaves.items()}
    dense = {n: w for n, w in leaves.items() if not n.startswith(PREFIX)}
    for i in range(len(logs)):
        embedded = torch.stack([leaves[PREFIX + f][logs.rows[i, j]] for j, f in enumerate(DEEP.fields)])[None]
        loss = binary_cross_entropy_with_logits(
            DEEP.logits(embedded, logs.numeric[i : i + 1], dense), logs.label[i : i + 1]
        )
        for name, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            slow[name] += gradient.square() / len(logs)
    for name in weights:
        torch.testing.assert_close(found[name], slow[name], rtol=1e-4, atol=1e-7)
    assert all(bool((found[name] >= 0).all()) and found[name].shape == weights[name].shape for name in weights)


def test_the_penalty_means_as_much_with_twice_the_rows() -> None:
    logs = make((6, 9, 3), 40, 2, labels=True)
    twice = logs.select(torch.arange(40).repeat(2))
    weights = initial_weights(DEEP, logs)
    one, two = fisher(DEEP, weights, logs), fisher(DEEP, weights, twice)
    for name in weights:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-8)
