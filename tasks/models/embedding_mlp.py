"""EmbeddingMLP: a perceptron over the fields' rows and the mean of the rows of the items that the user took last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import ClassVar, Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward
from nightloop.tasks.layers.sequence import LastItems, MeanHistoryRows, last_items, require_history, with_history
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.search_space import SearchSpace


class EmbeddingMLP(nn.Module):
    """A multi-layer perceptron over the fields' rows and the mean of the rows of the items that the user took last.

        logit = MLP([e_1 .. e_m, mean of the history's item rows])

    The history is the last `history` items. Their rows are those of the item's table; without items the mean is zero.
    The perceptron has ReLU between its layers, without normalisation. A numeric column x has a row of its own,
    multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range. This is the base
    model of ASMG, with its width and layers.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    history : int
        Number of earlier items that are read, from 1. The plan's `columns.history_length` gives it. ASMG reads up to
        30.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 8
        Numbers in an embedding. 8 is ASMG's value. A larger width can describe an id in more detail and needs more rows
        for each id.
    hidden : sequence of int, default (20, 10)
        Units of each hidden layer, first to last. The default is ASMG's. Larger layers fit more complex effects and
        take more time a row.
    scale : float, default 0.01
        Standard deviation of new embeddings. If it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range, or the plan has no history.

    References
    ----------
    Peng et al. 2021, Learning an adaptive meta model-generator for incrementally updating recommender systems, section
    5.1.

    Examples
    --------
    With every weight at 1 and width 1 the perceptron reads a user, an item and a mean: relu(1 + 1 + 1 + 1) + 1.

    >>> import torch
    >>> from nightloop.tasks.models.embedding_mlp import EmbeddingMLP
    >>> model = EmbeddingMLP(fields=("user", "item"), history=30, width=1, hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> rows = torch.ones(1, 3, model.width)
    >>> print(model.logits(rows, torch.zeros(1, 0), dense).item())
    5.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        history: int,
        numeric: int = 0,
        width: int = 8,
        hidden: Sequence[int] = (20, 10),
        scale: float = 0.01,
    ) -> None:
        require_history("EmbeddingMLP", history)
        check_options("EmbeddingMLP", numeric, scale, {"width": (width,), "hidden": hidden})
        super().__init__()
        self.fields, self.history, self.numeric = tuple(fields), history, numeric
        self.width, self.hidden, self.scale = width, tuple(hidden), float(scale)
        self.night: LastItems | None = None

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns and of the layers."""
        sizes = ((len(self.fields) + 1 + self.numeric) * self.width, *self.hidden, 1)
        return {**numeric_rows(self, self.numeric, generator), **first_layers(sizes, generator)}

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from the fields' rows and the history's mean [n, F + 1, width], and numeric values [n, N]."""
        return mlp_forward(with_numeric(embedded, numeric, dense).flatten(1), dense)[:, 0]

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> EmbeddingMLP:
        """As in `StatefulModel`: what is kept is what each user took last, for requests that come without a history."""
        found = copy(self)
        found.night = last_items(kept, logs)
        return found

    def keep(self) -> dict[str, Tensor]:
        """As in `StatefulModel`."""
        return self.night.keep() if self.night else {}

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> MeanHistoryRows:
        """As in `StatefulModel`; a row's history ends before the row, whatever the close."""
        return MeanHistoryRows(with_history(self.fields, self.history, sizes, logs))
