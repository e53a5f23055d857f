"""Row-wise optimisers: they move only the rows of a table that have a gradient. Each row has its own step size."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.linalg import vector_norm

from nightloop.tasks.kernels.portable_math import EPS, sqrt, sum_columns
from nightloop.tasks.modules.table_rows import put_rows, take_rows
from nightloop.tasks.modules.train_config import Optimizer


@dataclass
class RowAdagrad:
    """Adagrad with one accumulator a row: G += mean(g^2), row -= lr g / sqrt(G).

    Source: Duchi et al. 2011, one learning rate a row as in Naumov et al. 2019 (DLRM). `squares` [R] is its only state.
    Its arithmetic is that of the compiled step, operation by operation.
    """

    lr: float
    squares: Tensor

    def step(self, table: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Move `rows` [k] (distinct) of `table` [R, w] in place; `gradient` is [k, w]."""
        square = sum_columns(gradient * gradient).mul_(1 / table.shape[1])
        total = self.squares.index_select(0, rows).add_(square)
        self.squares.index_copy_(0, rows, total)
        step_size = sqrt(total).add_(EPS).reciprocal_().mul_(-self.lr)
        put_rows(table, rows, take_rows(table, rows).add_(gradient * step_size[:, None]))

    def state(self) -> dict[str, Tensor]:
        """The state by name, to continue from in a later run."""
        return {"squares": self.squares}


@dataclass
class RowAdam:
    """Adam whose second moment is one number a row. Each row counts its own steps; a row that does not occur stays as it is.

    State: `exp_avg` [R, w], `exp_avg_sq` [R], `steps` [R]. Source: Kingma and Ba 2015, lazy as torch's SparseAdam, but
    the bias correction uses each row's own number of steps.
    """

    lr: float
    exp_avg: Tensor
    exp_avg_sq: Tensor
    steps: Tensor
    betas: tuple[float, float] = (0.9, 0.999)

    def step(self, table: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Move `rows` [k] (distinct) of `table` [R, w] in place; `gradient` is [k, w]."""
        beta1, beta2 = self.betas
        square = vector_norm(gradient, dim=1).square_() / table.shape[1]
        exp_avg = take_rows(self.exp_avg, rows).lerp_(gradient, 1 - beta1)
        exp_avg_sq = self.exp_avg_sq.index_select(0, rows).lerp_(square, 1 - beta2)
        steps = self.steps.index_select(0, rows).add_(1)
        put_rows(self.exp_avg, rows, exp_avg)
        for state, values in ((self.exp_avg_sq, exp_avg_sq), (self.steps, steps)):
            state.index_copy_(0, rows, values)
        step_size = self.lr / (1 - beta1**steps) / (exp_avg_sq / (1 - beta2**steps)).sqrt_().add_(EPS)
        put_rows(table, rows, take_rows(table, rows).addcmul_(exp_avg, -step_size[:, None]))

    def state(self) -> dict[str, Tensor]:
        """The state by name, to continue from in a later run."""
        return {"first": self.exp_avg, "second": self.exp_avg_sq, "steps": self.steps}


RowOptimizer = RowAdagrad | RowAdam


def state_shapes(optimizer: Optimizer, width: int) -> dict[str, tuple[int, ...]]:
    """Names of an optimiser's state, each with its shape for one row."""
    return {"squares": ()} if optimizer == "adagrad" else {"first": (width,), "second": (), "steps": ()}


def row_optimizer(optimizer: Optimizer, lr: float, state: dict[str, Tensor]) -> RowOptimizer:
    """The optimiser by name. `step` changes the tensors of `state` in place."""
    if optimizer == "adagrad":
        return RowAdagrad(lr, state["squares"])
    return RowAdam(lr, state["first"], state["second"], state["steps"])
