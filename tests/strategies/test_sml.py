"""SML: the properties M1 to M11 of the method, and what may go wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.meta.meta_state import new_meta_state
from nightloop.tasks.meta.sml_batches import Batches, epochs
from nightloop.tasks.meta.sml_training import TransferInputs, learn_model, learn_transfer
from nightloop.tasks.meta.transfer import TINY, Form, Transfer
from nightloop.tasks.meta.transfer_set import TransferSet
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import pack, to_bytes, unpack
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.retraining.contract_chains import assert_same_chains, run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.prequential_loss import mean_logloss
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow, initial_weights

MODEL = MF(width=4)
FIRST = TrainConfig(epochs=2, batch_size=16, optimizer="adam", lr=0.01, l2=0.001)
SECOND = TrainConfig(epochs=1, batch_size=16, lr=0.001)


def made(transfer: Transfer = Transfer(hidden=8), **more):  # noqa: B008 (frozen)
    return SML(**{"transfer": transfer, "rounds": 2, "learner_training": FIRST, "transfer_training": SECOND} | more)


def by_autograd(batch: Batch) -> Tensor:
    """The usual loss as somebody else's: `fit` takes its slope by autograd then, as SML does."""
    return cross_entropy(batch)


def close(one, two) -> None:
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)


def test_m1_the_identity_is_fine_tuning() -> None:
    periods = simulated_periods("ranking")
    chain = run_chain(MODEL, made(Transfer("average", share=0.0), rounds=1), periods)
    plain = run_chain(MODEL, FineTune(FIRST, optimizer="reset"), periods)
    for one, two in zip(chain, plain, strict=True):
        close(one.weights, two.weights)


@pytest.mark.parametrize("restart", ["output", "learned"])
def test_m1_the_identity_with_rounds_is_fine_tuning_as_often(restart: str) -> None:
    periods, rounds = simulated_periods("ranking"), 3
    chain = run_chain(MODEL, made(Transfer("average", share=0.0), rounds=rounds, start_from=restart), periods)
    checkpoint = chain[0]
    for logs, got in zip(periods[1:], chain[1:], strict=True):
        weights = grow(MODEL, checkpoint, logs).weights
        own = logs.select(logs.periods == logs.period - 1)
        for number in range(1, rounds if logs.period > 1 else 1):
            weights = fit(MODEL, weights, replace(own, seed=own.seed + number), FIRST, by_autograd).weights
        checkpoint = replace(got, weights=fit(MODEL, weights, logs.since(logs.period), FIRST, by_autograd).weights)
        close(got.weights, checkpoint.weights)


def test_m2_yesterdays_weights_never_change() -> None:
    periods = simulated_periods("ranking")
    chain = run_chain(MODEL, made(Transfer("average", share=1.0)), periods)
    for checkpoint in chain[1:]:
        for name, first in chain[0].weights.items():
            assert torch.equal(checkpoint.weights[name][: len(first)], first)


def test_m3_a_share_in_between_is_the_average() -> None:
    periods = simulated_periods("ranking")
    checkpoint = run_chain(MODEL, made(Transfer("average", share=0.25)), periods)[-1]
    before, learned = (unpack(f"task/{which}/weights", checkpoint.memory) for which in ("before", "learned"))
    for name, served in checkpoint.weights.items():
        torch.testing.assert_close(served, 0.25 * before[name] + 0.75 * learned[name])
        assert not torch.allclose(before[name], learned[name])


@pytest.mark.parametrize("batches", ["shuffled", "by_user"])
def test_m4_each_step_changes_its_own_half_alone(batches: Batches) -> None:
    logs = simulated_periods("ranking")[1]
    carry, before = TransferSet(Transfer(hidden=8), MODEL.fields), initial_weights(MODEL, logs)
    weights = {name: tensor + 0.1 for name, tensor in before.items()}
    meta = new_meta_state(carry.parameters(MODEL, weights, logs.generator("x")))
    halves = lambda: [to_bytes(dict(part)) for part in (meta.memory(), before, weights)]  # noqa: E731
    was = halves()
    learned = learn_model(MODEL, carry, meta, TransferInputs(before, weights), logs, FIRST, batches)
    assert halves() == was and to_bytes(learned) != was[2]
    taught = learn_transfer(MODEL, carry, meta, TransferInputs(before, learned), logs, SECOND, batches)
    assert halves() == was and to_bytes(taught.memory()) != was[0]


def test_batches_by_user_hold_every_row_once_and_few_items_against_it() -> None:
    logs = simulated_periods("ranking")[-1]
    every = torch.arange(logs.sizes[1])
    taken = logs.rows[:, 0] * len(every) + logs.rows[:, 1]  # a number for each pair
    met = torch.zeros(len(every))
    for steps in epochs(MODEL, logs, TrainConfig(epochs=100, batch_size=16), "by_user", every, "first"):
        draws = list(steps)
        order = torch.cat([one.positions for one in draws])
        assert torch.equal(order.sort().values, torch.arange(len(logs)))
        users = logs.rows[order, 0].tolist()
        assert sum(a != b for a, b in pairwise(users)) == len(set(users)) - 1, "a user's rows follow each other"
        for one in draws:
            assert len(torch.unique(one.negatives)) <= len(one.positions) // 4 + 1
            negatives = one.negatives.flatten()
            real = torch.ones(len(negatives), dtype=torch.bool) if one.real is None else one.real.flatten()
            pairs = logs.rows[one.positions, 0] * len(every) + negatives
            assert not torch.isin(pairs[real], taken).any()
            met += torch.bincount(negatives[real], minlength=len(every))
    fair = (~torch.isin(logs.rows[:, :1] * len(every) + every, taken)).sum(0)
    torch.testing.assert_close(met / met.sum(), fair / fair.sum(), atol=0.02, rtol=0.25)


def published(p, before: Tensor, learned: Tensor, product: Tensor) -> Tensor:
    """f as the paper has it, channel by channel: rows [k, d]."""
    act = lambda x: x * torch.sigmoid(1.702 * x)  # noqa: E731
    stack = torch.stack([before, learned, product], 1)  # [k, 3, d]
    one = act(torch.einsum("fc,kcd->kfd", p["conv1.weight"], stack) + p["conv1.bias"][:, None])
    two = act(torch.einsum("gf,kfd->kgd", p["conv2.weight"], one) + p["conv2.bias"][:, None])
    inner = act(two.flatten(1) @ p["hidden.weight"].T + p["hidden.bias"])
    return inner @ p["output.weight"].T + p["output.bias"]


def test_m5_no_slope_goes_through_the_product() -> None:
    rng, transfer = torch.Generator().manual_seed(0), Transfer(hidden=6)
    p = transfer.parameters(4, rng)
    before, learned = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng, requires_grad=True)
    length = before.norm(dim=1, keepdim=True) + TINY
    (ours,) = torch.autograd.grad(transfer(p, before, learned).square().sum(), learned)
    for stopped in (True, False):
        product = before * (learned.detach() if stopped else learned) / length
        theirs = published(p, before, learned, product)
        torch.testing.assert_close(transfer(p, before, learned), theirs)
        (slope,) = torch.autograd.grad(theirs.square().sum(), learned)
        assert torch.allclose(ours, slope, atol=1e-6) == stopped


NETWORKS: tuple[Form, ...] = ("SML", "SML-CNN", "SML-FC", "mlp")


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("form", [*NETWORKS, "average"])
def test_m6_rows_of_nought_come_out_finite(form: Form, normalized: bool) -> None:
    transfer = Transfer(form, hidden=6, normalized=normalized and form != "average")
    p = transfer.parameters(4, torch.Generator().manual_seed(0))
    for before, learned in ((torch.zeros(3, 4), torch.zeros(3, 4)), (torch.zeros(3, 4), torch.ones(3, 4))):
        leaf = learned.requires_grad_()
        made_of = transfer(p, before, leaf)
        (slope,) = torch.autograd.grad(made_of.sum(), leaf)
        assert bool(torch.isfinite(made_of).all()) and bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("form", NETWORKS)
def test_a_gate_mixes_both_rows_and_starts_at_their_mean(form: Form) -> None:
    rng, transfer = torch.Generator().manual_seed(0), Transfer(form, hidden=6, gated=True)
    before, learned = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    torch.testing.assert_close(transfer(transfer.parameters(4, rng), before, learned), (before + learned) / 2)
    wild = {name: 30 * torch.randn(p.shape, generator=rng) for name, p in transfer.parameters(4, rng).items()}
    served = transfer(wild, before, learned)
    low, high = torch.minimum(before, learned), torch.maximum(before, learned)
    assert bool(((served >= low - 1e-6) & (served <= high + 1e-6)).all())
    assert not torch.allclose(served, (before + learned) / 2)


@pytest.mark.parametrize("form", NETWORKS)
def test_a_normalized_network_does_not_see_how_long_rows_are(form: Form) -> None:
    rng, transfer = torch.Generator().manual_seed(0), Transfer(form, hidden=6, normalized=True)
    p = transfer.parameters(4, rng)
    before, learned = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    torch.testing.assert_close(transfer(p, 9 * before, 9 * learned), transfer(p, before, learned), rtol=1e-4, atol=1e-5)
    plain = replace(transfer, normalized=False)
    assert not torch.allclose(plain(p, 9 * before, 9 * learned), plain(p, before, learned), atol=1e-2)


@pytest.mark.parametrize("options", [{"gated": True, "residual": True}, {"form": "average", "normalized": True}])
def test_options_of_a_transfer_that_exclude_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="transfer: "):
        Transfer(**options)


def test_m7_as_many_parameters_as_published() -> None:
    p = Transfer().parameters(64, torch.Generator().manual_seed(0))
    assert sum(tensor.numel() for tensor in p.values()) == 197_279
    assert not torch.allclose(
        gelu(torch.ones(1)), torch.sigmoid(torch.tensor([1.702]))
    )  # two GELUs: ours is the paper's


def test_m8_what_is_served_knows_nothing_of_the_period_it_serves() -> None:
    periods = simulated_periods("ranking")
    last = periods[-1]
    rows = last.rows.clone()
    rows[last.periods == last.period, 1] = 0
    spoilt = [*periods[:-1], replace(last, rows=rows)]
    one, two = run_chain(MODEL, made(), periods), run_chain(MODEL, made(), spoilt)
    assert_same_chains(one[:-1], two[:-1], "the future leaked")
    assert not torch.equal(one[-1].weights["table.item"], two[-1].weights["table.item"])


def world(speed: float, count: int = 4, users: int = 40, items: int = 30) -> tuple[MF, list[dict], list[Logs]]:
    """Users that move at a constant velocity, and clicks of every period drawn from where they are then."""
    model, rng = MF(width=4), torch.Generator().manual_seed(5)
    model.family = "ctr"
    where, way = torch.randn(users, 4, generator=rng), speed * torch.randn(users, 4, generator=rng)
    item = torch.randn(items, 4, generator=rng)
    like = simulated_periods("ctr")[-1]
    truth, logs = [], []
    for t in range(count):
        truth.append({"table.user": where + t * way, "table.item": item})
        n = 6000
        rows = torch.stack([torch.randint(size, (n,), generator=rng) for size in (users, items)], 1)
        one = replace(
            like, period=t, periods=torch.full((n,), t, dtype=torch.int32), rows=rows, numeric=torch.zeros(n, 0),
            label=torch.zeros(n), time=torch.arange(n), sizes=(users, items),
            born=(torch.zeros(users, dtype=torch.int32), torch.zeros(items, dtype=torch.int32)),
        )  # fmt: skip
        chance = torch.sigmoid(predict(model, truth[-1], one))
        logs.append(replace(one, label=torch.bernoulli(chance, generator=rng)))
    return model, truth, logs


def taught_on(speed: float, ahead: int) -> tuple[float, float]:
    """Loss of the last period, of the newest weights and of what a transfer makes of them that learned from D_1+ahead."""
    model, truth, logs = world(speed)
    carry = TransferSet(Transfer("SML-FC", residual=True), model.fields)
    meta = new_meta_state(carry.parameters(model, truth[0], logs[0].generator("x")))
    training = TrainConfig(epochs=12, batch_size=256, lr=0.02)
    meta = learn_transfer(model, carry, meta, TransferInputs(truth[0], truth[1]), logs[1 + ahead], training, "shuffled")
    served = carry.transfer_all(meta.parameters, truth[1], truth[2])
    return mean_logloss(model, truth[2], logs[3]), mean_logloss(model, served, logs[3])


def test_m9_the_next_period_teaches_drift_and_the_same_does_not() -> None:
    for speed, margin in ((0.4, 0.02), (0.0, None)):
        (_, by_next), (_, by_same) = taught_on(speed, 1), taught_on(speed, 0)
        if margin is None:
            assert by_next == pytest.approx(by_same, abs=0.01), "without drift either will do"
        else:
            assert by_next < by_same - margin


def test_m10_a_learned_transfer_foresees_a_constant_velocity() -> None:
    newest, foreseen = taught_on(0.4, 1)
    model, truth, logs = world(0.4)
    extrapolated = {name: 2 * truth[2][name] - truth[1][name] for name in truth[2]}
    best = mean_logloss(model, extrapolated, logs[3])
    assert best < newest and foreseen < newest - 0.5 * (newest - best), "at least half of what there is to gain"


def test_m11_rows_alone_are_rows_of_the_whole_table() -> None:
    rng = torch.Generator().manual_seed(0)
    carry = TransferSet(Transfer(hidden=8), MODEL.fields)
    before = {name: torch.randn(30, 4, generator=rng) for name in ("table.user", "table.item")}
    learned = {name: torch.randn(30, 4, generator=rng) for name in before}
    parameters = carry.parameters(MODEL, learned, rng)
    whole = carry.transfer_all(parameters, before, learned)
    rows = torch.tensor([4, 29, 0])
    for field in MODEL.fields:
        name = f"table.{field}"
        alone = carry.rows(parameters, {field: (before[name][rows], learned[name][rows])})
        torch.testing.assert_close(alone, whole[name][rows])
        only = carry.transfer_all(parameters, before, learned, {"user": rows, "item": rows})[name]
        left = torch.ones(30, dtype=torch.bool)
        left[rows] = False
        assert torch.equal(only[left], learned[name][left])
        torch.testing.assert_close(only[rows], alone)


def test_an_empty_period_keeps_what_was_served() -> None:
    periods = [logs.select(logs.periods != 2) for logs in simulated_periods("ranking")]
    chain = run_chain(MODEL, made(rounds=1), periods)
    meta = [unpack("meta", checkpoint.memory) for checkpoint in chain]
    assert all(torch.equal(meta[1][name], meta[2][name]) for name in meta[1]), "nothing to learn the transfer from"
    assert all(bool(torch.isfinite(t).all()) for t in pack("", chain[-1].weights).values())


def test_freeze_counts_finished_tasks() -> None:
    chain = run_chain(MODEL, made(freeze=2), simulated_periods("ranking"))
    assert [int(checkpoint.memory["finished"]) for checkpoint in chain] == [0, 0, 1, 2, 2]
    last = [unpack("meta", checkpoint.memory) for checkpoint in chain[-2:]]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])
