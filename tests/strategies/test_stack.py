"""Stack: the line by a search, prequential, served as it is evaluated, the floor, and a member that fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.fm import FM
from nightloop.tasks.modules.checkpoint import Checkpoint, from_bytes, to_bytes, unpack
from nightloop.tasks.modules.stacked_weights import LINE, stacked_members
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.stacking import PRIOR, Line, equal_line, update_line, without_members
from nightloop.tasks.serving.load import build_model
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.stack import Stack
from nightloop.tasks.training.hidden_features import logits_and_hidden
from nightloop.tasks.training.predict import predict
from tests.serving import make_store as made

MODEL = FM(["user", "item"], width=3)
FINE, FULL = FineTune(TrainConfig(epochs=2, batch_size=16)), FullRetrain(TrainConfig(epochs=2, batch_size=16))


@dataclass(frozen=True)
class Fails:
    """Fine-tuning that fails in one period."""

    period: int
    lookback: int = 1

    def start(self, model: FM, weights: object, logs: Logs) -> Checkpoint:
        return FINE.start(model, weights, logs)

    def update(self, model: FM, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        if logs.period == self.period:
            raise DataError("no")
        return FINE.update(model, checkpoint, logs)


def test_the_line_against_a_search_and_step_by_step() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(size=(300, 1)) * 2
    label = (random.random(300) < 1 / (1 + np.exp(-0.5 - 0.8 * logits[:, 0]))).astype(float)
    before = Line(np.array([0.1, 1.0]), np.array([[30.0, 5.0], [5.0, 40.0]]))
    prior = 0.5 * before.precision + 0.5 * PRIOR * np.eye(2)

    def loss(line: np.ndarray) -> float:
        z = line[0] + logits[:, 0] * line[1]
        return float(
            (np.log1p(np.exp(z)) - label * z).sum() + 0.5 * (line - before.mean) @ prior @ (line - before.mean)
        )

    found = update_line(before, logits, label, 1.0)
    grid = [np.array([a, b]) for a in np.arange(-0.5, 1.0, 0.02) for b in np.arange(0.2, 1.6, 0.02)]
    assert np.abs(found.mean - min(grid, key=loss)).max() <= 0.02 and loss(found.mean) <= min(map(loss, grid)) + 1e-6
    chance = 1 / (1 + np.exp(-found.mean[0] - found.mean[1] * logits[:, 0]))
    rows = np.column_stack([np.ones(300), logits])
    assert found.precision == pytest.approx(prior + rows.T @ (rows * (chance * (1 - chance))[:, None]), rel=1e-3)
    same = update_line(equal_line(2), np.repeat(logits, 2, axis=1), label, 2.0)
    assert same.mean[1] == pytest.approx(same.mean[2], abs=1e-4), "members that say the same share"
    alone = without_members(same, frozenset({1}))
    assert alone[2] == 0 and alone[1] == pytest.approx(same.mean[1] * 2, rel=0.05)
    assert without_members(same, frozenset()) is same.mean


def test_the_line_is_of_the_members_as_they_were_before() -> None:
    periods = simulated_periods("ctr", rows=200)
    chain = run_chain(MODEL, Stack((FINE, FULL), half_life=3.0), periods)
    for before, now, logs in zip(chain, chain[1:], periods[1:], strict=False):
        newest = logs.since(logs.period)
        own = [unpack(f"members/{number}/weights", before.memory) for number in range(2)]
        logits = torch.stack([predict(MODEL, one, newest) for one in own], 1).double().numpy()
        line = Line(before.memory["line"].numpy(), before.memory["precision"].numpy())
        expected = update_line(line, logits, newest.label.double().numpy(), 3.0)
        assert now.memory["line"].numpy() == pytest.approx(expected.mean, abs=0.01)
        for number, member in enumerate((FINE, FULL)):
            alone = run_chain(MODEL, member, periods[: logs.period + 1])[-1].weights
            kept = unpack(f"members/{number}/weights", now.memory)
            assert all(torch.equal(kept[name], alone[name]) for name in alone)


def test_what_is_evaluated_is_what_is_served() -> None:
    plan = made.click_plan()
    model = DeepFM(fields=("user", "item", "device"), numeric=1, width=3, hidden=(8,))
    periods = simulated_periods("ctr", ("user", "item", "device"), numeric=1)
    checkpoint = run_chain(model, Stack((FINE, FULL), floor=100), periods)[-1]
    weights, logs = {**checkpoint.weights, LINE: torch.tensor([0.3, 0.7, 0.4])}, periods[-1].since(4)
    members, line = stacked_members(weights)
    expected = line[0] + sum(a * predict(model, one, logs) for a, one in zip(line[1:], members, strict=True))
    assert torch.allclose(predict(model, weights, logs), expected, atol=1e-5)
    logits, hidden = logits_and_hidden(model, weights, logs)
    assert torch.allclose(logits, expected, atol=1e-5) and torch.equal(
        hidden, logits_and_hidden(model, members[0], logs)[1]
    )
    names = [[f"{field[0]}{n}" for n in range(size)] for field, size in zip(logs.fields, logs.sizes, strict=True)]
    words = Vocabulary({f: pa.array(n, pa.large_string()) for f, n in zip(logs.fields, names, strict=True)}, {})
    served = build_model(plan, from_bytes(to_bytes(weights)), words)
    asked = [[names[j][row] for row in logs.rows[:, j]] for j in range(3)]
    features = {"device": asked[2], "age": logs.numeric[:, 0].tolist()}
    assert served.score(asked[0], asked[1], features) == pytest.approx(torch.sigmoid(expected).tolist(), abs=1e-5)


def test_worse_than_a_member_that_member_is_served() -> None:
    periods = simulated_periods("ctr", rows=100)
    strategy = Stack((FINE, FULL), floor=3)
    before = run_chain(MODEL, strategy, periods[:4])[-1]
    worse = {**before.memory, "nights": torch.tensor([[-0.9, -0.8, -0.1]] * 3).double()}
    served = fold(MODEL, strategy, replace(before, memory=worse), periods[4])
    assert served.weights[LINE].tolist() == [0, 0, 1] and len(served.memory["nights"]) == 3
    own = unpack("members/1/weights", served.memory)
    rows = periods[4].since(4)
    assert torch.equal(predict(MODEL, served.weights, rows), predict(MODEL, own, rows))


def test_a_member_that_fails_is_left_out_for_the_night(caplog: pytest.LogCaptureFixture) -> None:
    periods = simulated_periods("ctr", rows=100)
    with caplog.at_level(logging.WARNING):
        chain = run_chain(MODEL, Stack((Fails(3), NoUpdate()), floor=1000), periods)
    assert "a member is left out tonight: Stack's members[0] Fails: no" in caplog.text
    lines = [one.weights[LINE] for one in chain]
    assert float(lines[3][1]) == 0 and float(lines[3][2]) != 0 and float(lines[4][1]) != 0


def test_a_period_without_rows_keeps_the_line() -> None:
    periods = simulated_periods("ctr", count=4)
    empty = [logs.select(logs.periods != 3) for logs in periods]
    chain = run_chain(MODEL, Stack((FINE, NoUpdate())), empty)
    assert all(torch.equal(chain[3].memory[name], chain[2].memory[name]) for name in ("line", "precision", "nights"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Stack((FINE,)), "members: given 1; Stack adds the scores of 2 or more"),
        (lambda: Stack((FINE, FINE)), "members: 0 and 1 are the same"),
        (lambda: Stack((FINE, FULL), half_life=0), "half_life: given 0; it is in nights"),
        (lambda: Stack((FINE, FULL), floor=0), "floor: given 0"),
        (lambda: AverageWeights(Stack((FINE, FULL))), "Stack serves more than the model's own"),
    ],
)
def test_what_cannot_be_stacked_is_refused(make: object, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()  # type: ignore[operator]
    assert said in str(caught.value)
