"""Model: the shape of what is retrained, a shell to pour weights into.

A model declares its embedding tables (one a field, all of one width, so that they can be fused); everything else that
is learned is a parameter of its own. Weights of a table are called `table.<field>`, the others have names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from torch import Generator, Tensor

from tasks.models.checkpoint import Weights


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
