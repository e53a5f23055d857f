"""Fit: the one training loop. Weights and logs in, weights and optimiser state out; the loss is a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.propagation import LinkedRows, propagation_step
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.dot_product_step import Bilinear, bilinear_step
from nightloop.tasks.modules.lookup import lookup, own_close
from nightloop.tasks.modules.loss import Loss, cross_entropy
from nightloop.tasks.modules.malloc import reuse_freed_memory
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.progress import report_progress
from nightloop.tasks.modules.regularizers import Penalty, Regularizer, regularizer_of
from nightloop.tasks.modules.row_order import canonical_order
from nightloop.tasks.modules.threads import one_thread, thread_pool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.training.step import Step, StepRows, autograd_step
from nightloop.tasks.training.train_state import TrainState, init_state

CHUNK = 1 << 18  # rows that are looked at, or whose negatives are drawn, at once
HOPELESS = 1e3  # a mean loss above this has diverged; a model that knows nothing is at 0.7 (ranking 1.4)


class Fitted(NamedTuple):
    """The result of training.

    Attributes
    ----------
    weights : dict of str to Tensor
        The trained weights, with the names that were given.
    optimizer : dict of str to Tensor
        The optimiser's state, to continue from in a later run.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def fit(
    model: Model,
    weights: Weights,
    logs: Logs,
    training: TrainConfig,
    loss: Loss = cross_entropy,
    state: Weights | None = None,
    pull: Penalty | None = None,
) -> Fitted:
    """Train weights on logs; the inputs stay as they are.

    A ranking model sees one negative for each positive, uniform over the items seen (`logs.sizes`) without those that
    the user takes in these logs. The result depends on the set of rows, not on their order, and on nothing but the
    arguments: not on the number of threads. Without rows the weights come back as they were.

    Parameters
    ----------
    model : Model
        What is trained.
    weights : mapping of str to Tensor
        Where training starts.
    logs : Logs
        The rows. Their seed decides order and negatives.
    training : TrainConfig
        How long and how fast.
    loss : callable, default cross_entropy
        A scalar to minimise for a `Batch`.
    state : mapping of str to Tensor, optional
        The optimiser's state of an earlier run (`Fitted.optimizer`). If it is not given, the optimiser begins anew.
    pull : Penalty, optional
        A penalty on the distance from earlier weights.

    Returns
    -------
    Fitted
        New weights and the optimiser's state.

    Raises
    ------
    DataError
        The arguments do not fit each other, or training diverges; the message then names the epoch and the rate.

    Examples
    --------
    A factorisation machine on simulated labels: the mean loss before and after.

    >>> import torch
    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.modules.train_config import TrainConfig
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.fit import fit
    >>> from nightloop.tasks.training.predict import predict
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> logs, model, loss = simulated_periods("ctr")[0], FM(("user", "item"), width=4), torch.nn.BCEWithLogitsLoss()
    >>> before = initial_weights(model, logs)
    >>> after = fit(model, before, logs, TrainConfig(epochs=10)).weights
    >>> print(*(round(loss(predict(model, weights, logs), logs.label).item(), 2) for weights in (before, after)))
    0.69 0.54
    """
    _check(model, logs)
    drawn = regularizer_of(training.l2, pull, weights, model.fields)
    if loss is cross_entropy and model.family == "ranking" and isinstance(model, Bilinear):
        width = model.factor_width
        with one_thread():
            by_hand = lambda run: _closed_step(model, width, run, logs, drawn)  # noqa: E731
            return train(by_hand, model, weights, logs, training, state)
    with thread_pool(training.parts) as parts:
        by_autograd = lambda run: autograd_step(model, run, logs, training.precision, loss, drawn, parts)  # noqa: E731
        return train(by_autograd, model, weights, logs, training, state)


def train(
    step_on: Callable[[TrainState], Step],
    model: Model,
    weights: Weights,
    logs: Logs,
    training: TrainConfig,
    state: Weights | None,
    draws: Iterable[Iterator[StepRows]] | None = None,
) -> Fitted:
    """Run all epochs of `training` on copies of `weights`. `fit` is the usual way to call it.

    Parameters
    ----------
    step_on : callable
        Makes the training step of a run's state.
    model : Model
        What is trained.
    weights : mapping of str to Tensor
        Where training starts.
    logs : Logs
        The rows.
    training : TrainConfig
        How long and how fast.
    state : mapping of str to Tensor or None
        The optimiser's state of an earlier run.
    draws : iterable of iterators of StepRows, optional
        The steps of each epoch. If it is not given: all rows in a new order, each with a negative of its own.

    Returns
    -------
    Fitted
        New weights and the optimiser's state.

    Raises
    ------
    DataError
        A table is shorter than the vocabulary, or training diverges.
    """
    run = init_state(model, weights, training, state)
    _check_sizes(model, run, logs)
    if not len(logs) or not training.epochs:
        return Fitted(dict(weights), run.state())
    with reuse_freed_memory():
        _run(step_on(run), _epochs(model, logs, training) if draws is None else draws, run, logs, training)
    return Fitted(run.weights(), run.state())


def _run(step: Step, epochs: Iterable[Iterator[StepRows]], run: TrainState, logs: Logs, training: TrainConfig) -> None:
    """All epochs, with a check for divergence after each."""
    done, total = 0, len(logs) * training.epochs
    for epoch, draws in enumerate(epochs, 1):
        last = torch.zeros(())
        for rows in draws:
            last = step(rows)
            done += len(rows.positions)
            report_progress(done, total)
        _check_epoch(run, float(last), epoch, training)


def _epochs(model: Model, logs: Logs, training: TrainConfig) -> Iterator[Iterator[StepRows]]:
    """For each epoch its steps: all rows once, in a new order."""
    shuffle, negatives = logs.generator("fit/shuffle"), logs.generator("fit/negatives")
    canonical = canonical_order(logs)
    user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
    ranking = model.family == "ranking"
    user = user.contiguous() if ranking else user  # a click model never asks for it, and there may be millions
    positives = index_positives(user, item, logs.sizes[logs.fields.index("item")]) if ranking else None

    def epoch() -> Iterator[StepRows]:
        order = torch.randperm(len(logs), generator=shuffle)
        for chunk in torch.split(order, max(1, CHUNK // training.batch_size) * training.batch_size):
            chunk = chunk if canonical is None else canonical.index_select(0, chunk)
            if positives is None:
                yield from map(StepRows, torch.split(chunk, training.batch_size))
                continue
            drawn, real = draw(positives, user.index_select(0, chunk), negatives)
            reals = [None] * len(chunk) if real is None else torch.split(real, training.batch_size)
            yield from map(
                StepRows, torch.split(chunk, training.batch_size), torch.split(drawn, training.batch_size), reals
            )

    for _ in range(training.epochs):
        yield epoch()


def _closed_step(model: Model, width: int, run: TrainState, logs: Logs, drawn: Regularizer) -> Step:
    """The step of a dot-product model, of the tables or of what a graph makes of them, without autograd."""
    look = lookup(model, run.sizes, logs, own_close(logs))
    user, item = (logs.rows[:, logs.fields.index(field)].contiguous() for field in ("user", "item"))
    shift = run.sizes[0]

    def step(rows: StepRows) -> Tensor:
        if rows.negatives is None:
            raise DataError("a ranking step needs negatives")
        positives = item.index_select(0, rows.positions) + shift
        pairs = (user.index_select(0, rows.positions), positives, rows.negatives + shift)
        if isinstance(look, LinkedRows):
            return propagation_step(run.table, run.rows, pairs, rows.real, drawn, look.over)
        return bilinear_step(run.table, run.rows, pairs, rows.real, width, drawn)

    return step


def _check(model: Model, logs: Logs) -> None:
    missing = [field for field in model.fields if field not in logs.fields]
    if missing:
        raise DataError(f"the model has tables for {', '.join(missing)}; the logs have {', '.join(logs.fields)}")
    if len(logs) and not bool(((logs.label >= 0) & (logs.label <= 1)).all()):
        raise DataError("labels must be numbers from 0 to 1; the logs hold others")
    if not all(bool(torch.isfinite(part).all()) for part in torch.split(logs.numeric, CHUNK)):
        raise DataError("numeric columns hold NaN or infinity; quarantine those rows or fill them")


def _check_sizes(model: Model, run: TrainState, logs: Logs) -> None:
    for field, rows in zip(model.fields, run.sizes, strict=True):
        size = logs.sizes[logs.fields.index(field)]
        if rows < size:
            raise DataError(f"table.{field} has {rows} rows, the logs' vocabulary {size}: grow the checkpoint first")


def _check_epoch(run: TrainState, last: float, epoch: int, training: TrainConfig) -> None:
    finite = bool(torch.isfinite(run.table.sum())) and bool(torch.isfinite(run.flat.sum()))
    if finite and last <= HOPELESS:
        return
    raise DataError(
        f"training diverged in epoch {epoch} of {training.epochs}: loss {last:.4g}, weights "
        f"{'finite' if finite else 'not finite'}, with lr {training.lr:g} (dense_lr {training.dense_lr:g}); "
        "lower them"
    )
