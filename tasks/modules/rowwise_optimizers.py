"""Row-wise optimisers: rules that move only the rows of a table that have a gradient, at a pace kept for each row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.linalg import vector_norm

from nightloop.tasks.modules.table_rows import put_rows, take_rows
from nightloop.tasks.modules.train_config import Optimizer

TINY = 1e-8  # keeps a row that never had a gradient from dividing by nought


@dataclass(frozen=True)
class RowAdagrad:
    """Adagrad with one accumulator a row: G += mean(g^2), row -= rate g / sqrt(G).

    Source: Duchi et al. 2011, one learning rate a row as in Naumov et al. 2019 (DLRM). `squares` [R] is its only state.
    """

    rate: float
    squares: Tensor

    def step(self, table: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Move `rows` [k] (distinct) of `table` [R, w] in place; `gradient` is [k, w]."""
        square = vector_norm(gradient, dim=1).square_()
        total = self.squares.index_select(0, rows).add_(square, alpha=1 / table.shape[1])
        self.squares.index_copy_(0, rows, total)
        pace = total.sqrt_().add_(TINY).reciprocal_().mul_(-self.rate)
        put_rows(table, rows, take_rows(table, rows).addcmul_(gradient, pace[:, None]))

    def state(self) -> dict[str, Tensor]:
        """What to hand on, by name."""
        return {"squares": self.squares}


@dataclass(frozen=True)
class RowAdam:
    """Adam whose second moment is one number a row, and whose clock is each row's own: it stands still between visits.

    State: `first` [R, w], `second` [R], `steps` [R]. Source: Kingma and Ba 2015 (lazy, as torch's SparseAdam, but with
    the bias correction of each row's own count of steps).
    """

    rate: float
    first: Tensor
    second: Tensor
    steps: Tensor
    decay: tuple[float, float] = (0.9, 0.999)

    def step(self, table: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Move `rows` [k] (distinct) of `table` [R, w] in place; `gradient` is [k, w]."""
        slow, fast = self.decay
        square = vector_norm(gradient, dim=1).square_() / table.shape[1]
        first = take_rows(self.first, rows).lerp_(gradient, 1 - slow)
        second = self.second.index_select(0, rows).lerp_(square, 1 - fast)
        steps = self.steps.index_select(0, rows).add_(1)
        put_rows(self.first, rows, first)
        for kept, new in ((self.second, second), (self.steps, steps)):
            kept.index_copy_(0, rows, new)
        pace = self.rate / (1 - slow**steps) / (second / (1 - fast**steps)).sqrt_().add_(TINY)
        put_rows(table, rows, take_rows(table, rows).addcmul_(first, -pace[:, None]))

    def state(self) -> dict[str, Tensor]:
        """What to hand on, by name."""
        return {"first": self.first, "second": self.second, "steps": self.steps}


RowOptimizer = RowAdagrad | RowAdam


def state_shapes(optimizer: Optimizer, width: int) -> dict[str, tuple[int, ...]]:
    """Names of a rule's state, each with the shape it has for one row."""
    return {"squares": ()} if optimizer == "adagrad" else {"first": (width,), "second": (), "steps": ()}


def row_optimizer(optimizer: Optimizer, rate: float, state: dict[str, Tensor]) -> RowOptimizer:
    """The rule by name, over these very tensors: `step` changes them in place."""
    if optimizer == "adagrad":
        return RowAdagrad(rate, state["squares"])
    return RowAdam(rate, state["first"], state["second"], state["steps"])
