"""ALS: a control, matrix factorisation by alternating least squares, through the `implicit` package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plugins import required
from nightloop.tasks.retraining.mf_weights import from_parts, inner_width
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.retraining.time_decay import decayed


@dataclass(frozen=True)
class ALS:
    """Factors from scratch every period, on all history, each row counting half as much `half_life` periods on.

    As many factors as MF has columns; ids without rows are zero vectors. One thread, so that the same logs give the
    same bytes. Raises PlanError if `implicit` is not installed. Source: Hu, Koren and Volinsky 2008.
    """

    regularization: float = 12.0
    alpha: float = 1.0
    iterations: int = 15
    half_life: float = 2.0
    models: ClassVar[tuple[str, ...]] = ("MF",)

    def __post_init__(self) -> None:
        for name in ("regularization", "alpha", "half_life"):
            if not getattr(self, name) > 0:
                raise PlanError(f"{name}: given {getattr(self, name)}; it must be above 0")
        refuse_outside("iterations", self.iterations, ROUNDS)
        required("ALS", "implicit", "controls")

    @property
    def lookback(self) -> int:
        """All history."""
        return ALL_HISTORY

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """Factors of the root's history; the pre-trained weights are not used."""
        return self._factored(model, logs)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Factors of all history, the newest period included."""
        return self._factored(model, logs)

    def _factored(self, model: Model, logs: Logs) -> Checkpoint:
        from implicit.cpu.als import AlternatingLeastSquares  # optional: a control for bake-offs
        from scipy.sparse import csr_matrix

        user, item = logs.fields.index("user"), logs.fields.index("item")
        shape = (logs.sizes[user], logs.sizes[item])
        heavy = decayed(logs, self.half_life).float().numpy()
        matrix = csr_matrix((heavy, (logs.rows[:, user].numpy(), logs.rows[:, item].numpy())), shape=shape)
        als = AlternatingLeastSquares(  # type: ignore[no-untyped-call]
            factors=inner_width(model), regularization=self.regularization, alpha=self.alpha, num_threads=1,
            iterations=self.iterations, random_state=int(logs.generator("als").initial_seed() % 2**31),
        )  # fmt: skip
        als.fit(matrix, show_progress=False)  # type: ignore[no-untyped-call]
        return Checkpoint(
            logs.period, from_parts(model, _kept(als.user_factors), _kept(als.item_factors), torch.zeros(shape[1]))
        )


def _kept(factors: object) -> Tensor:
    return torch.tensor(factors, dtype=torch.float32)
