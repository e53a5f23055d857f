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
from nightloop.tasks.plan.plugins import require_package
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.mf_weights import from_parts, inner_width
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.retraining.time_decay import decay_weights, user_item_matrix


@dataclass(frozen=True)
class ALS:
    """Matrix factorisation from scratch every period, on all history. A row's weight halves every `half_life` periods.

    It has as many factors as MF has columns. Ids without rows are zero vectors. It runs in one thread, so that the same
    logs give the same bytes. Needs `pip install 'nightloop[controls]'`.

    Parameters
    ----------
    regularization : float, default 12.0
        Weight of the squared length of the factors, above 0. A larger value gives shorter factors.
    alpha : float, default 1.0
        Confidence of an interaction over that of a pair without one, above 0.
    iterations : int, default 15
        Rounds of alternating least squares, 1 or more. Time is proportional to it.
    half_life : float, default 2.0
        Periods after which a row counts half, above 0. A larger value counts older rows more.

    Raises
    ------
    PlanError
        An option is out of range, or the package `implicit` is not installed.

    References
    ----------
    Hu, Koren and Volinsky 2008, Collaborative filtering for implicit feedback datasets.

    Examples
    --------
    The mean score of the newest period's pairs, before and after they were learned from.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.als import ALS
    >>> from nightloop.tasks.training.predict import predict
    >>> model, periods = MF(width=8), simulated_periods("ranking")
    >>> before, after = run_chain(model, ALS(regularization=0.1), periods)[-2:]
    >>> print([round(float(predict(model, one.weights, periods[-1].since(4)).mean()), 2) for one in (before, after)])
    [0.35, 0.88]
    """

    regularization: float = 12.0
    alpha: float = 1.0
    iterations: int = 15
    half_life: float = 2.0
    search_space: ClassVar[SearchSpace] = {
        "regularization": NumberRange(0.1, 100.0, log=True),
        "alpha": NumberRange(0.3, 30.0, log=True),
        "half_life": NumberRange(0.5, 30.0, log=True),
    }
    models: ClassVar[tuple[str, ...]] = ("MF",)
    lookback: ClassVar[int] = ALL_HISTORY

    def __post_init__(self) -> None:
        for name in ("regularization", "alpha", "half_life"):
            if not getattr(self, name) > 0:
                raise PlanError(f"{name}: given {getattr(self, name)}; it must be above 0")
        refuse_outside("iterations", self.iterations, ROUNDS)
        require_package("ALS", "implicit", "controls")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """Factors of the root's history; the pre-trained weights are not used."""
        from implicit.cpu.als import AlternatingLeastSquares  # optional: a control for bake-offs

        matrix = user_item_matrix(logs, decay_weights(logs, self.half_life).float())
        als = AlternatingLeastSquares(  # type: ignore[no-untyped-call]
            factors=inner_width(model), regularization=self.regularization, alpha=self.alpha, num_threads=1,
            iterations=self.iterations, random_state=int(logs.generator("als").initial_seed() % 2**31),
        )  # fmt: skip
        als.fit(matrix, show_progress=False)  # type: ignore[no-untyped-call]
        users, items = _to_tensor(als.user_factors), _to_tensor(als.item_factors)
        return Checkpoint(logs.period, from_parts(model, users, items, torch.zeros(matrix.shape[1])))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Factors of all history, the newest period included."""
        return self.start(model, checkpoint.weights, logs)


def _to_tensor(factors: object) -> Tensor:
    return torch.tensor(factors, dtype=torch.float32)
