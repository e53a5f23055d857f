"""Crew: a step on two threads is the step on one, to the byte, and its errors come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from nightloop.tasks.meta.meta_state import new_meta_state
from nightloop.tasks.meta.sml_training import TransferInputs, learn_model, learn_transfer
from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.meta.transfer_set import TransferSet
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.segment_sums import group, split_groups, sum_groups
from nightloop.tasks.modules.threads import thread_pool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import initial_weights
from tests.models.make_logs import make, same

MODEL = DeepFM(("user", "item", "c0"), numeric=2, width=4, hidden=(8, 8))
LOGS = make((300, 400, 3), 3001, 2, labels=True)
SCHEDULE = TrainConfig(epochs=2, batch_size=2000, lr=0.05)  # 2,000 rows are two parts, 1,001 one


@pytest.fixture(params=[1, 2])
def threads(request) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("pulled", [False, True])
def test_two_threads_learn_what_one_learns(optimizer, several, pulled):
    logs = LOGS
    if several:
        values = torch.randint(-1, 3, (len(LOGS), 3), generator=torch.Generator().manual_seed(0))
        logs = replace(LOGS, several=("c0",) * 3, values=values)
    weights = initial_weights(MODEL, logs)
    penalty = Penalty(0.1, {name: tensor + 0.1 for name, tensor in weights.items()}) if pulled else None
    training = replace(SCHEDULE, optimizer=optimizer, l2=0.01 if pulled else 0.0)
    found = {}
    for count in (1, 2):
        torch.set_num_threads(count)
        found[count] = fit(MODEL, weights, logs, training, penalty=penalty)
        again = fit(MODEL, weights, logs, training, penalty=penalty)
        assert torch.get_num_threads() == count
        assert same(found[count].weights, again.weights) and same(found[count].optimizer, again.optimizer)
    torch.set_num_threads(1)
    assert same(found[1].weights, found[2].weights) and same(found[1].optimizer, found[2].optimizer)


@pytest.mark.parametrize("batches", ["shuffled", "by_user"])
@pytest.mark.parametrize("biases", [False, True])
def test_two_threads_learn_through_a_transfer_what_one_learns(batches, biases):
    model, logs = MF(width=4, biases=biases), make((300, 400), 5001)  # 5,000 rows are two parts, one is one
    carry, before = TransferSet(Transfer(hidden=8), model.fields), initial_weights(model, logs)
    after = {name: tensor + 0.1 for name, tensor in before.items()}
    meta = new_meta_state(carry.parameters(model, before, logs.generator("transfer")))
    training, found = replace(SCHEDULE, batch_size=5000, l2=0.01), {}
    for count in (1, 2):
        torch.set_num_threads(count)
        learned = learn_model(model, carry, meta, TransferInputs(before, after), logs, training, batches)
        again = learn_model(model, carry, meta, TransferInputs(before, after), logs, training, batches)
        taught = learn_transfer(
            model, carry, meta, TransferInputs(before, learned), logs, replace(training, lr=0.01), batches
        )
        assert same(learned, again)
        served = carry.transfer_all(taught.parameters, before, learned)
        found[count] = {
            **taught.parameters,
            **served,
            **{f"learned/{name}": tensor for name, tensor in learned.items()},
        }
    torch.set_num_threads(1)
    assert same(found[1], found[2])


def test_each_part_counts_as_its_rows_do(threads):
    """2,001 rows in two parts, 1,001 and 1,000: a loss sees each as a step of its own."""
    seen = []

    def loss(batch: Batch) -> torch.Tensor:
        seen.append((torch.get_num_threads(), len(batch.positions), batch.taken))
        return cross_entropy(batch)

    fit(
        MODEL,
        initial_weights(MODEL, LOGS),
        LOGS.select(torch.arange(2001)),
        TrainConfig(epochs=1, batch_size=2001, lr=0.05),
        loss=loss,
    )
    assert sorted(rows for _, rows, _ in seen) == [1000, 1001]
    assert all(rows == taken for _, rows, taken in seen)
    assert all(count == 1 for count, _, _ in seen)


def test_what_a_part_raises_is_raised_and_torch_is_as_it_was(threads):
    def loss(batch: Batch) -> torch.Tensor:
        raise RuntimeError("no such teacher")

    with pytest.raises(RuntimeError, match="no such teacher"):
        fit(MODEL, initial_weights(MODEL, LOGS), LOGS, SCHEDULE, loss=loss)
    assert torch.get_num_threads() == threads


def test_a_crew_answers_in_the_order_it_was_asked():
    with thread_pool(3) as threads:
        assert threads.map(lambda n: n * n, range(50)) == [n * n for n in range(50)]


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_runs_are_the_groups(parts):
    ids = torch.randint(7, (40,), generator=torch.Generator().manual_seed(1))
    values, whole = torch.rand(40, 3), group(ids)
    dealt = split_groups(whole, parts)
    assert len(dealt) == parts
    torch.testing.assert_close(
        torch.cat([sum_groups(one, values) for one in dealt]), sum_groups(whole, values), rtol=0, atol=0
    )
    assert torch.equal(torch.cat([one.rows for one in dealt]), whole.rows)
