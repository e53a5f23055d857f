"""Contract chains: a strategy run over periods, and comparisons of the results tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, from_bytes, to_bytes
from nightloop.tasks.modules.model import Model
from nightloop.tasks.retraining.advance import fold, start_chain
from nightloop.tasks.retraining.strategy import Strategy
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights


def run_chain(model: Model, strategy: Strategy, periods: Sequence[Logs]) -> list[Checkpoint]:
    """The checkpoint at the close of every period, from the model's first values."""
    chain = [start_chain(model, strategy, initial_weights(model, periods[0]), periods[0])]
    for logs in periods[1:]:
        chain.append(fold(model, strategy, chain[-1], logs))
    return chain


def reload_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, written to safetensors and read again."""
    weights, memory = from_bytes(to_bytes(checkpoint.weights)), from_bytes(to_bytes(checkpoint.memory))
    return Checkpoint(checkpoint.period, weights, memory)


def stored_tensors(checkpoint: Checkpoint) -> tuple[bytes, bytes]:
    """Weights and memory as they would be stored."""
    return to_bytes(checkpoint.weights), to_bytes(checkpoint.memory)


def log_bytes(logs: Logs) -> bytes:
    """Every tensor of the logs."""
    tensors = {f.name: getattr(logs, f.name) for f in fields(logs) if isinstance(getattr(logs, f.name), Tensor)}
    return to_bytes(tensors | {f"born/{j}": born for j, born in enumerate(logs.born)})


def assert_same_chains(one: Sequence[Checkpoint], two: Sequence[Checkpoint], message: str) -> None:
    """Raises AssertionError that names the first tensors that differ by a bit."""
    for a, b in zip(one, two, strict=True):
        for part in ("weights", "memory"):
            left, right = getattr(a, part), getattr(b, part)
            names = sorted(
                n for n in {*left, *right} if n not in left or n not in right or not _equal(left[n], right[n])
            )
            assert not names, f"{message} (period {a.period}, {part}: {', '.join(names[:5])})"


def _equal(one: Tensor, two: Tensor) -> bool:
    return to_bytes({"t": one}) == to_bytes({"t": two})


def assert_same(one: object, two: object, message: str) -> None:
    """Raises AssertionError with the message if the two differ."""
    assert one == two, message


def finite_chain(model: Model, chain: Sequence[Checkpoint], periods: Sequence[Logs]) -> None:
    """Raises AssertionError on NaN, infinity or a table of the wrong size anywhere."""
    for checkpoint, logs in zip(chain, periods, strict=True):
        for name, tensor in {**checkpoint.weights, **checkpoint.memory}.items():
            all_finite(tensor, f"{name} of period {checkpoint.period}")
        all_finite(predict(model, checkpoint.weights, logs), f"predictions of period {checkpoint.period}")
        assert_sizes(checkpoint, logs)


def all_finite(tensor: Tensor, what: str) -> None:
    """Raises AssertionError on NaN and infinity."""
    bad = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
    assert not bad, f"{what}: {bad} of {tensor.numel()} values are NaN or infinite"


def assert_sizes(checkpoint: Checkpoint, logs: Logs) -> None:
    """Raises AssertionError if a table has not one row for each id."""
    for name, tensor in {**checkpoint.weights, **checkpoint.memory}.items():
        last = name.rsplit("/", 1)[-1]
        if last.startswith("table."):
            size = logs.sizes[logs.fields.index(last.removeprefix("table."))]
            assert len(tensor) == size, f"period {logs.period}: {name} has {len(tensor)} rows for {size} ids"
