"""Fit: the training loop of all models. It takes weights and logs and returns weights and optimiser state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.propagation import LinkedRows, propagation_step
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.dot_product_step import Bilinear, Pairs, bilinear_step
from nightloop.tasks.modules.lookup import lookup, own_close
from nightloop.tasks.modules.loss import Loss, cross_entropy
from nightloop.tasks.modules.malloc import reuse_freed_memory
from nightloop.tasks.modules.model import Model, StatefulModel
from nightloop.tasks.modules.progress import report_progress
from nightloop.tasks.modules.ranking_loss import ranking_loss
from nightloop.tasks.modules.regularizers import Penalty, Regularizer, regularizer_of
from nightloop.tasks.modules.rowwise_optimizers import RowAdagrad
from nightloop.tasks.modules.threads import ThreadPool, one_thread, thread_pool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.training.batches import epoch_batches
from nightloop.tasks.training.compiled_steps import StepSettings, can_compile, compiled_steps
from nightloop.tasks.training.gpu import device_of, on_device, step_on_device
from nightloop.tasks.training.step import Step, StepRows, autograd_step
from nightloop.tasks.training.train_state import TrainState, init_state

CHUNK = 1 << 18  # rows that are checked at once
HOPELESS = 1e3  # a mean loss above this has diverged; an untrained model has 0.7 (ranking 1.4)


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
    penalty: Penalty | None = None,
) -> Fitted:
    """Train weights on logs. The inputs are not changed.

    A ranking model sees one negative for each positive, uniform over the items seen (`logs.sizes`) without those that
    the user takes in these logs. The result depends only on the arguments, not on the order of the rows and not on the
    number of threads. Without rows the weights are returned unchanged.

    Parameters
    ----------
    model : Model
        What is trained.
    weights : mapping of str to Tensor
        Where training starts.
    logs : Logs
        The rows. Their seed decides order and negatives.
    training : TrainConfig
        Epochs, batch size, learning rates and optimiser.
    loss : callable, default cross_entropy
        A scalar to minimise for a `Batch`.
    state : mapping of str to Tensor, optional
        The optimiser's state of an earlier run (`Fitted.optimizer`). If it is not given, the optimiser starts with an empty state.
    penalty : Penalty, optional
        A penalty on the distance from earlier weights.

    Returns
    -------
    Fitted
        New weights and the optimiser's state.

    Raises
    ------
    DataError
        The arguments do not fit each other, or training diverges; the message then names the epoch and the learning rate.

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
    _check_ranking_options(model, training, loss)
    device, regularizer = device_of(model, training), regularizer_of(training.l2, penalty, weights, model.fields)
    if loss is cross_entropy and model.family == "ranking" and isinstance(model, Bilinear):
        width, compiled = model.factor_width, _can_compile(model, logs, training, regularizer)
        members = torch.get_num_threads() if compiled else 0
        read, penalties, _ = on_device(device, logs, regularizer, loss)

        def closed_step(run: TrainState) -> Step:
            return step_on_device(device, _closed_step(model, width, run, read, training, penalties, members))

        with thread_pool(members) if compiled else one_thread() as threads:
            return train(
                closed_step, model, weights, logs, training, state, epoch_batches(model, logs, training, threads)
            )
    if model.family == "ranking" and loss is cross_entropy:
        loss = ranking_loss(training, logs, model.fields)
    read, penalties, own_loss = on_device(device, logs, regularizer, loss)
    with thread_pool(training.parts) if device.type == "cpu" else one_thread() as threads:

        def step_on(run: TrainState) -> Step:
            step = autograd_step(model, run, read, training, own_loss, penalties, threads or ThreadPool())
            return step_on_device(device, step)

        return train(step_on, model, weights, logs, training, state)


def train(
    step_on: Callable[[TrainState], Step],
    model: Model,
    weights: Weights,
    logs: Logs,
    training: TrainConfig,
    state: Weights | None,
    batches: Iterable[Iterator[StepRows]] | None = None,
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
        Epochs, batch size, learning rates and optimiser.
    state : mapping of str to Tensor or None
        The optimiser's state of an earlier run.
    batches : iterable of iterators of StepRows, optional
        The batches of each epoch. If it is not given: all rows in a new order, each with its own negative.

    Returns
    -------
    Fitted
        New weights and the optimiser's state.

    Raises
    ------
    DataError
        A table is shorter than the vocabulary, or training diverges.
    """
    run = init_state(model, weights, training, state).to(device_of(model, training))
    _check_sizes(model, run, logs)
    if not len(logs) or not training.epochs:
        return Fitted(dict(weights), run.state())
    with reuse_freed_memory():
        _run(step_on(run), epoch_batches(model, logs, training) if batches is None else batches, run, logs, training)
    return Fitted(run.weights(), run.state())


def _run(step: Step, epochs: Iterable[Iterator[StepRows]], run: TrainState, logs: Logs, training: TrainConfig) -> None:
    """All epochs, with a check for divergence after each."""
    done, total = 0, len(logs) * training.epochs
    for epoch, batches in enumerate(epochs, 1):
        last = torch.zeros(())
        for rows in batches:
            last = step(rows)
            done += len(rows.positions)
            report_progress(done, total)
        _check_epoch(run, float(last), epoch, training)
        run.end_epoch(training)


def _closed_step(
    model: Model, width: int, run: TrainState, logs: Logs, training: TrainConfig, regularizer: Regularizer, members: int
) -> Step:
    """The step of a dot-product model, with or without a graph, without autograd. `members`: threads of the compiled
    step; 0: it is not used."""
    look = lookup(model, run.sizes, logs, own_close(logs))
    loss = ranking_loss(training, logs, model.fields)
    user, item = (logs.rows[:, logs.fields.index(field)].contiguous() for field in ("user", "item"))
    offset = run.sizes[0]  # of the items in the fused table

    def step(rows: StepRows) -> Tensor:
        if rows.negatives is None:
            raise DataError("a ranking step needs negatives")
        items = torch.cat([item.index_select(0, rows.positions)[:, None], rows.negatives], 1).add_(offset)
        pairs = Pairs(user.index_select(0, rows.positions), items, rows.real, offset)
        if isinstance(look, LinkedRows):
            return propagation_step(run.table, run.rows, pairs, loss, regularizer, look.over)
        if members and isinstance(run.rows, RowAdagrad):
            settings = StepSettings(width, training.batch_size, regularizer.l2, members)
            return compiled_steps(run.table, run.rows, pairs, loss, settings)
        return bilinear_step(run.table, run.rows, pairs, loss, width, regularizer)

    return step


def _can_compile(model: Model, logs: Logs, training: TrainConfig, regularizer: Regularizer) -> bool:
    """Whether the compiled kernel does these steps."""
    plain = not isinstance(model, StatefulModel) and training.optimizer == "adagrad" and regularizer.table is None
    return plain and training.device == "cpu" and can_compile(len(logs) * training.epochs * training.negatives)


def _check(model: Model, logs: Logs) -> None:
    missing = [field for field in model.fields if field not in logs.fields]
    if missing:
        raise DataError(f"the model has tables for {', '.join(missing)}; the logs have {', '.join(logs.fields)}")
    if len(logs) and not bool(((logs.label >= 0) & (logs.label <= 1)).all()):
        raise DataError("labels must be numbers from 0 to 1; the logs hold others")
    if not all(bool(torch.isfinite(part).all()) for part in torch.split(logs.numeric, CHUNK)):
        raise DataError("numeric columns hold NaN or infinity; quarantine those rows or fill them")


def _check_ranking_options(model: Model, training: TrainConfig, loss: Loss) -> None:
    """Refuse negatives, loss and sampling where they would have no effect."""
    if model.family != "ranking":
        training.refuse_ranking_options("a model of clicks")
    elif loss is not cross_entropy:
        training.refuse_ranking_options("a strategy with a loss of its own", "loss", "sampling")


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
