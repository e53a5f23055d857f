"""Contract: the checks that every strategy must pass, one function each, for our tests and for yours.

    from nightloop.tasks.retraining.contract import all_checks, simulated_periods

    @pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__)
    def test_contract(check):
        check(MF(width=4), MyStrategy(), simulated_periods("ranking"))

`periods[t]` holds all rows up to period t; the strategy starts at `periods[0]`. A check raises AssertionError with a
message that says what was expected and what happened. Any other exception is an error of the strategy.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.state import without_state
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.pair_scores import without_pairs
from nightloop.tasks.modules.stacked_weights import first_member
from nightloop.tasks.retraining.advance import fold, recent_rows, start_chain, update_grown
from nightloop.tasks.retraining.contract_chains import (
    all_finite,
    assert_same,
    assert_same_chains,
    assert_sizes,
    finite_chain,
    log_bytes,
    reload_checkpoint,
    run_chain,
    stored_tensors,
)
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.prequential_loss import mean_logloss
from nightloop.tasks.retraining.strategy import Strategy, lookback_of
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow, initial_weights

Check = Callable[[Model, Strategy, Sequence[Logs]], None]
PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
NAME = re.compile(rf"{PART}(/{PART})*")

__all__ = ["Check", "all_checks", "simulated_periods"]


def all_checks() -> list[Check]:
    """Every check of this file, in the order in which they stand."""
    return [value for name, value in globals().items() if name.startswith("check_")]


def check_inputs_unchanged(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """`start` and `update` change neither checkpoint nor logs nor themselves."""
    weights = initial_weights(model, periods[0])
    before = stored_tensors(Checkpoint(0, weights)), log_bytes(periods[0]), repr(strategy)
    checkpoint = start_chain(model, strategy, weights, periods[0])
    after = stored_tensors(Checkpoint(0, weights)), log_bytes(periods[0]), repr(strategy)
    assert_same(before, after, "start changed the weights, the logs or the strategy it was given; return new tensors")
    for logs in periods[1:]:
        grown, read = grow(model, checkpoint, logs), recent_rows(logs, lookback_of(strategy, model))
        before = stored_tensors(grown), log_bytes(read), repr(strategy)
        checkpoint = update_grown(model, strategy, grown, read)
        after = stored_tensors(grown), log_bytes(read), repr(strategy)
        what = f"update of period {logs.period} changed the checkpoint, the logs or the strategy it was given"
        assert_same(before, after, what)


def check_determinism(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """The same inputs give the same bytes, whatever the state of the global random generator."""
    torch.manual_seed(1)
    once = run_chain(model, strategy, periods)
    torch.manual_seed(2)
    twice = run_chain(model, strategy, periods)
    assert_same_chains(once, twice, "a second run gave other bytes; draw from logs.generator(purpose)")


def check_round_trip(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """Every checkpoint survives safetensors: same names, types, shapes and values."""
    for checkpoint in run_chain(model, strategy, periods):
        for name, value in {**checkpoint.weights, **checkpoint.memory}.items():
            dense = isinstance(value, Tensor) and value.layout == torch.strided
            assert dense, f"{name} is {type(value).__name__}; a checkpoint holds dense tensors and nothing else"
        stored, read = stored_tensors(checkpoint), stored_tensors(reload_checkpoint(checkpoint))
        assert_same(stored, read, f"the checkpoint of {checkpoint.period} changed on disk")


def check_resume(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """A chain that stops after any period and resumes from disk with a new strategy object ends in the same bytes."""
    chain = run_chain(model, strategy, periods)
    for k in range(len(periods) - 1):
        resumed = [reload_checkpoint(chain[k])]
        for logs in periods[k + 1 :]:
            resumed.append(fold(model, copy.deepcopy(strategy), resumed[-1], logs))
        assert_same_chains(
            chain[k:], resumed, f"resumed from period {k}, the chain made other bytes; keep all state in memory"
        )


def check_fold_equals_nights(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """A backfill in one go equals night after night, each in a fresh process that reads its lookback only."""
    checkpoint = start_chain(model, copy.deepcopy(strategy), initial_weights(model, periods[0]), periods[0])
    nights = [checkpoint]
    for logs in periods[1:]:
        rows = recent_rows(logs, lookback_of(strategy, model))
        nights.append(fold(model, copy.deepcopy(strategy), reload_checkpoint(nights[-1]), rows))
    assert_same_chains(nights, run_chain(model, strategy, periods), "a backfill and single nights differ")


def check_causality(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """Nothing of period t+1 is in the checkpoint of t, even if the same object has seen t+1 before."""
    chain = run_chain(model, strategy, periods)
    for t in range(1, len(periods)):
        other = [*periods[:t], _alter_newest(periods[t])]
        assert_same_chains(
            chain[:t], run_chain(model, strategy, other)[:t], f"altering period {t} changed what was made before it"
        )
    assert_same_chains(
        chain, run_chain(model, strategy, periods), "what was seen in between changed a later run: state outside memory"
    )


def check_growth(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """Unused ids change no prediction, and every parallel tensor has a row for each id."""
    for logs, checkpoint in zip(periods, run_chain(model, strategy, periods), strict=True):
        more = _with_unused_ids(logs, 7)
        grown = grow(model, checkpoint, more)
        plain, padded = predict(model, checkpoint.weights, logs), predict(model, grown.weights, more)
        assert_same(plain.tolist(), padded.tolist(), f"period {logs.period}: 7 unused ids a field changed predictions")
        assert_sizes(checkpoint, logs)
        assert_sizes(grown, more)


def check_single_row(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """A period may have one row."""
    _check_thinned(model, strategy, periods, lambda n: torch.arange(n) == n - 1)


def check_empty_period(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """A period may have no rows at all."""
    _check_thinned(model, strategy, periods, lambda n: torch.zeros(n, dtype=torch.bool))


def check_one_class(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """A period may have only negatives or only positives; a ranking has only positives always."""
    for value in (0.0, 1.0) if model.family == "ctr" else (1.0,):
        altered = [replace(logs, label=torch.where(logs.periods > 0, value, logs.label)) for logs in periods]
        finite_chain(model, run_chain(model, strategy, altered), altered)


def check_unseen_ids(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """Ids newer than the checkpoint can be scored: as a row of zeros, finite."""
    for checkpoint, later in zip(run_chain(model, strategy, periods), periods[1:], strict=False):
        all_finite(
            predict(model, checkpoint.weights, later), f"predictions of {checkpoint.period} on period {later.period}"
        )


def check_finite(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """No NaN and no infinity in weights, memory or predictions."""
    finite_chain(model, run_chain(model, strategy, periods), periods)


def check_row_order(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """Rows that share an instant may come in any order: the loss stays similar, though not the bits."""
    swapped = [_shuffle_instants(logs) for logs in periods]
    once, twice = run_chain(model, strategy, periods)[-1], run_chain(model, strategy, swapped)[-1]
    one, two = (mean_logloss(model, checkpoint.weights, periods[-1]) for checkpoint in (once, twice))
    assert abs(one - two) <= 0.25 * max(one, two), (
        f"the order of rows of one instant moved the loss from {one:.3g} to {two:.3g}"
    )


def check_contract_names(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> None:
    """The checkpoint has the model's weight names, valid memory names and its own period; the lookback is valid."""
    assert isinstance(strategy.lookback, int) and strategy.lookback >= 1, (
        f"lookback is {strategy.lookback!r}, not 1 or more"
    )
    expected = {name: tensor.shape for name, tensor in initial_weights(model, periods[-1]).items()}
    chain = run_chain(model, strategy, periods)
    for checkpoint, logs in zip(chain, periods, strict=True):
        assert checkpoint.period == logs.period, f"a checkpoint of period {logs.period} says {checkpoint.period}"
        for name in checkpoint.memory:
            assert NAME.fullmatch(name), (
                f"memory name {name!r}: use parts of letters, digits and _ . + - joined by /, none beginning with . + -"
            )
    got = {name: tensor.shape for name, tensor in without_state(chain[-1].weights).items()}
    if got != expected and getattr(strategy, "composes", False):  # tables of several members' columns are wider
        own = first_member(without_pairs(chain[-1].weights))
        got, expected = (
            {name: shape[:1] for name, shape in shapes.items() if name in own} for shapes in (got, expected)
        )
    assert got == expected, f"weights {got} are not the model's {expected}"


def _check_thinned(model: Model, strategy: Strategy, periods: Sequence[Logs], keep: Callable[[int], Tensor]) -> None:
    """Remove rows of the second period, then fold it and the later ones."""
    thin = periods[1].period
    altered = []
    for logs in periods:
        mask = torch.ones(len(logs), dtype=torch.bool)
        inside = logs.periods == thin
        mask[inside] = keep(int(inside.sum()))
        altered.append(logs.select(mask))
    finite_chain(model, run_chain(model, strategy, altered), altered)


def _alter_newest(logs: Logs) -> Logs:
    """The newest period with items in another order and labels turned round."""
    newest = logs.periods == logs.period
    rows, label = logs.rows.clone(), logs.label.clone()
    rows[newest, 1] = rows[newest, 1].flip(0)
    label[newest] = label[newest].flip(0)
    return replace(logs, rows=rows, label=label)


def _with_unused_ids(logs: Logs, extra: int) -> Logs:
    born = tuple(torch.cat([b, torch.full((extra,), logs.period, dtype=b.dtype)]) for b in logs.born)
    return replace(logs, sizes=tuple(size + extra for size in logs.sizes), born=born)


def _shuffle_instants(logs: Logs) -> Logs:
    mixed = torch.randperm(len(logs), generator=torch.Generator().manual_seed(7))
    return logs.select(mixed[torch.argsort(logs.time[mixed], stable=True)])
