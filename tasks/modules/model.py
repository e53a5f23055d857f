"""Model: the interface of what is retrained. A model has no weights of its own; they are passed in.

A model declares its embedding tables, one a field and all of one width, so that they can be stored as one tensor. All
other weights are parameters of their own. Weights of a table are called `table.<field>`, the others have any other
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from torch import Generator, Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights


class Model(Protocol):
    """What `fit`, `grow`, scoring and serving need of a model.

    A class with these members is enough; nothing has to be inherited, though our models are `nn.Module`s.

    Examples
    --------
    A model with one weight for each item, on simulated labels: the mean loss falls from log 2.

    >>> import torch
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.fit import fit
    >>> from nightloop.tasks.training.predict import predict
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> from nightloop.tasks.modules.train_config import TrainConfig
    >>> class ItemRate:
    ...     family, fields, width = "ctr", ("item",), 1
    ...     def new_rows(self, field, count, generator):
    ...         return torch.zeros(count, 1)
    ...     def dense(self, generator):
    ...         return {}
    ...     def logits(self, embedded, numeric, dense):
    ...         return embedded[:, 0, 0]
    >>> model, logs = ItemRate(), simulated_periods("ctr")[0]
    >>> before = initial_weights(model, logs)
    >>> after = fit(model, before, logs, TrainConfig(epochs=20, lr=0.5)).weights
    >>> loss = torch.nn.BCEWithLogitsLoss()
    >>> print(*(round(loss(predict(model, weights, logs), logs.label).item(), 2) for weights in (before, after)))
    0.69 0.5
    """

    @property
    def family(self) -> Literal["ranking", "ctr"]:
        """What it learns from: positives against sampled negatives, or labelled impressions."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that have a table, in the order of `Logs.fields`."""

    @property
    def width(self) -> int:
        """Columns of every table (MF with biases: d + 1)."""

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows of a table.

        Parameters
        ----------
        field : str
            The table's field; "" for rows of numeric columns.
        count : int
            Number of rows.
        generator : torch.Generator
            The source of random numbers: the same for all strategies.

        Returns
        -------
        Tensor
            [count, width] float32.
        """

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of all weights that are not in a table.

        Parameters
        ----------
        generator : torch.Generator
            The source of random numbers: the same for all strategies.

        Returns
        -------
        dict of str to Tensor
            The weights by name.
        """

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits of entries. They must be differentiable by `embedded` and by `dense`.

        Parameters
        ----------
        embedded : Tensor
            [n, F, width]: the entries' rows, in the order of `fields`.
        numeric : Tensor
            [n, N]: values of numeric columns.
        dense : mapping of str to Tensor
            The weights that are not in a table.

        Returns
        -------
        Tensor
            [n].
        """


@runtime_checkable
class Factored(Protocol):
    """What a ranking model can have besides: its score is a dot product, so that a catalogue is ranked by one matrix
    product.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.models.mf import MF
    >>> weights = {"table.user": torch.tensor([[1.0, 2.0]]), "table.item": torch.tensor([[3.0, 4.0], [0.0, 1.0]])}
    >>> users, items = MF(width=2).factors(weights)
    >>> (users @ items.T).tolist()
    [[11.0, 2.0]]
    """

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Factors of all users and items.

        Parameters
        ----------
        weights : mapping of str to Tensor
            All weights of a checkpoint.

        Returns
        -------
        tuple of Tensor
            Users [U, d'] and items [I, d'] whose dot products are the logits.
        """


class Lookup(Protocol):
    """Which rows of the tables entries are predicted from.

    An entry is a row of the logs, or a sampled negative beside it. Entries are given as positions [n] in the logs and
    as vocabulary rows [n, F]. `nightloop.tasks.modules.lookup` has the look-up of a model that reads only an entry's
    own rows.
    """

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """Rows of the fused table that the entries are made of, in any order, repeated or not, their own included.

        Parameters
        ----------
        positions : Tensor
            [n] int64: rows of the logs.
        ids : Tensor
            [n, F] int64: vocabulary rows.

        Returns
        -------
        Tensor
            [m] int64.
        """

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """What `logits` reads, made of the values of these rows. It must be differentiable by `values`.

        If a model is not `Factored`, the first F rows of an entry are its own.

        Parameters
        ----------
        values : Tensor
            [m, width]: the values of `rows(positions, ids)`.
        positions : Tensor
            [n] int64: rows of the logs.
        ids : Tensor
            [n, F] int64: vocabulary rows.

        Returns
        -------
        Tensor
            [n, F', width].
        """


@runtime_checkable
class StatefulModel(Protocol):
    """A model that needs more of past logs than its weights: a graph, or what each user took last.

    What it keeps is stored with the weights of a checkpoint, under names that begin with `kept/`, and is never learned.
    No strategy sees it. `fold` removes it from the weights, gives the strategy the model as it is `at` that night, and
    adds what the model then keeps to the weights that the strategy returns. Tensors with a row for each id are called
    `kept/.../table.<field>`; they grow by zeros. A ranking model of this kind is `Factored` as well. If `factors` gets
    weights with what is kept, it uses that. If it gets weights without it, as a strategy has them, it uses what was
    known at the close before, so that no row is evaluated with itself. `LightGCN` and `GRU4Rec` are examples.
    """

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> Model:
        """This model for the night of `logs.period`.

        Parameters
        ----------
        weights : mapping of str to Tensor
            The weights of the close before, with tables as long as the vocabulary is now.
        kept : mapping of str to Tensor
            What was kept at the close before. Empty: there was none.
        logs : Logs
            Rows up to that night. Those of earlier nights are in `kept` already.

        Returns
        -------
        Model
            A copy of the model for this night.
        """

    def keep(self) -> dict[str, Tensor]:
        """What is kept at the close of the night, by name without `kept/`. For a model at a night."""

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> Lookup:
        """How rows of `logs` are looked up with what was known at the close of a period. For a model at a night.

        Parameters
        ----------
        sizes : list of int
            Rows of each of the model's tables.
        logs : Logs
            The rows that are trained on or predicted.
        close : int
            Index of the period.

        Returns
        -------
        Lookup
            The look-up.
        """
