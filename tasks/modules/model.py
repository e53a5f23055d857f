"""Model: the shape of what is retrained, a shell to pour weights into.

A model declares its embedding tables (one a field, all of one width, so that they can be fused); everything else that
is learned is a parameter of its own. Weights of a table are called `table.<field>`, the others have names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from torch import Generator, Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights


class Model(Protocol):
    """What `fit`, `grow`, scoring and serving ask of a model. Models are `nn.Module`s; this is their public side."""

    @property
    def family(self) -> Literal["ranking", "ctr"]:
        """Which task it learns: positives against sampled negatives, or labelled impressions."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that have a table, in the order of `Logs.fields`."""
        ...

    @property
    def width(self) -> int:
        """Columns of every table (MF with biases: d + 1)."""
        ...

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of `count` new rows of a table: [count, width] float32."""
        ...

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of everything that is not a table, by the module's parameter names."""
        ...

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from embedded rows [n, F, width], numeric values [n, N] and the dense weights. Differentiable."""
        ...


@runtime_checkable
class Factored(Protocol):
    """What a ranking model has besides: its score is a dot product, so that a catalogue is ranked by one product."""

    def factors(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Users [U, d'] and items [I, d'] whose dot products are the logits."""
        ...


class Lookup(Protocol):
    """What entries [n] of a step, given as positions [n] in the logs and vocabulary rows [n, F], are predicted from."""

    def rows(self, positions: Tensor, ids: Tensor) -> Tensor:
        """Rows of the fused table that they are made of: [m] int64, in any order, repeated or not, their own included."""
        ...

    def embedded(self, values: Tensor, positions: Tensor, ids: Tensor) -> Tensor:
        """What `logits` reads, [n, F', width], of the values [m, width] of these rows. Differentiable.

        Where a model is not `Factored` the first F are the entries' own rows.
        """
        ...


@runtime_checkable
class StatefulModel(Protocol):
    """A model that needs more of past logs than its weights tell: a graph, or what each user took last.

    What it keeps lies among the weights of a checkpoint, under names that begin with `kept/`, and is never learned. No
    strategy sees it: `fold` takes it out, hands the strategy the model as it is `at` that night, and lays what the model
    then keeps beside the weights that come back. Tensors with a row for each id are called `kept/.../table.<field>` and
    grow by noughts. A ranking model is `Factored` as well: `factors` reads what is kept from whole weights; of weights
    without it, such as a strategy has, it makes what would have been served of them at the close before: nothing is
    judged by rows that were looked at.
    """

    def at(self, weights: Weights, kept: Weights, logs: Logs) -> Model:
        """This model on the night of `logs.period`.

        `weights` and `kept` are those of the close before, grown (nothing kept: there was none). Rows of `logs` that
        were there before are in `kept` already.
        """
        ...

    def keep(self) -> dict[str, Tensor]:
        """Of the model at a night: what is kept at its close."""
        ...

    def lookup(self, sizes: list[int], logs: Logs, close: int) -> Lookup:
        """Of the model at a night: how rows of `logs` are looked up with what was known at the close of a period."""
        ...
