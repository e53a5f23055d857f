"""BPR: a control, matrix factorisation by Bayesian personalised ranking, through the `implicit` package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plugins import require_package
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.mf_weights import from_parts, inner_width
from nightloop.tasks.retraining.strategy import ALL_HISTORY
from nightloop.tasks.retraining.time_decay import user_item_matrix


@dataclass(frozen=True)
class BPR:
    """Matrix factorisation with item biases from scratch every period, on all history, by the pairwise loss of BPR.

    It has as many factors as MF has columns. It runs in one thread, so that the same logs give the same bytes. Needs
    `pip install 'nightloop[controls]'`.

    Parameters
    ----------
    rate : float, default 0.001
        Learning rate of stochastic gradient descent, above 0.
    regularization : float, default 0.01
        Weight of the squared length of factors and biases, 0 or more. A larger value gives shorter factors.
    epochs : int, default 20
        Passes over the rows, 1 or more. Time is proportional to it.

    Raises
    ------
    PlanError
        An option is out of range, or the package `implicit` is not installed.

    References
    ----------
    Rendle et al. 2009, BPR: Bayesian personalized ranking from implicit feedback.

    Examples
    --------
    The mean score of the newest period's pairs, before and after they were learned from.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.bpr import BPR
    >>> from nightloop.tasks.training.predict import predict
    >>> model, periods = MF(width=8, biases=True), simulated_periods("ranking")
    >>> before, after = run_chain(model, BPR(rate=0.1), periods)[-2:]
    >>> print([round(float(predict(model, one.weights, periods[-1].since(4)).mean()), 1) for one in (before, after)])
    [0.1, 0.4]
    """

    rate: float = 0.001
    regularization: float = 0.01
    epochs: int = 20
    search_space: ClassVar[SearchSpace] = {
        "rate": NumberRange(0.0003, 0.1, log=True),
        "regularization": NumberRange(0.001, 0.3, log=True),
        "epochs": NumberRange(5, 80, log=True),
    }
    models: ClassVar[tuple[str, ...]] = ("MF",)
    lookback: ClassVar[int] = ALL_HISTORY

    def __post_init__(self) -> None:
        if not self.rate > 0 or not self.regularization >= 0:
            raise PlanError(f"rate: given {self.rate}, above 0; regularization: given {self.regularization}, 0 or more")
        refuse_outside("epochs", self.epochs, ROUNDS)
        require_package("BPR", "implicit", "controls")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """Factors of the root's history; the pre-trained weights are not used."""
        from implicit.cpu.bpr import BayesianPersonalizedRanking  # optional: a control for bake-offs

        matrix = user_item_matrix(logs, torch.ones(len(logs)))
        bpr = BayesianPersonalizedRanking(
            factors=inner_width(model), learning_rate=self.rate, regularization=self.regularization, num_threads=1,
            iterations=self.epochs, random_state=int(logs.generator("bpr").initial_seed() % 2**31),
        )  # fmt: skip
        bpr.fit(matrix, show_progress=False)
        users, items = torch.tensor(bpr.user_factors), torch.tensor(bpr.item_factors)  # the last column is the bias
        return Checkpoint(logs.period, from_parts(model, users[:, :-1], items[:, :-1], items[:, -1]))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Factors of all history, the newest period included."""
        return self.start(model, checkpoint.weights, logs)
