"""ItemKNN: recent popularity plus similar items, the control that a personal model must beat. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.rank import Ranker
from nightloop.tasks.plan.errors import PlanError

NEVER = 1e-9  # the popularity of items that were never taken: below all others


@dataclass(frozen=True)
class ItemKNN:
    """Scores an item by its recent popularity and its similarity to the items that the user took.

    score(u, j) = log popularity(j) + `weight` x sum over items i that u took of w_ui x similarity(i, j)

    w_ui is the number of times that u took i; each counts half `memory` periods later. The similarity is the cosine of
    two items' columns of w, with `shrinkage` added to its denominator. The defaults are tuned on MovieTweetings.

    Parameters
    ----------
    half_life : float, default 7084
        Rows after which a row counts half in the popularity, above 0.
    memory : float, default 3.0
        Periods after which w_ui counts half, above 0.
    shrinkage : float, default 5.0
        0 or more. A larger value makes chance meetings of rare items count less.
    weight : float, default 3.0
        Weight of the similar items, 0 or more. 0 is popularity alone.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Sarwar et al. 2001, Item-based collaborative filtering recommendation algorithms.

    Examples
    --------
    Without similar items and with a long half-life the score is the log of the count: how often item 0 was taken.

    >>> import torch
    >>> from nightloop.tasks.evaluation.item_knn import ItemKNN
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> logs = simulated_periods("ranking")[0]
    >>> score = ItemKNN(half_life=1e9, weight=0.0).fit(logs)(torch.tensor([0]), torch.tensor([0]))
    >>> print(round(score.exp().item(), 2), (logs.rows[:, 1] == 0).sum().item())
    3.0 3
    """

    half_life: float = 7084
    memory: float = 3.0
    shrinkage: float = 5.0
    weight: float = 3.0

    def __post_init__(self) -> None:
        wrong = [f"{name} is {value}" for name, value in vars(self).items() if not value >= 0 or value == float("inf")]
        if wrong or not self.half_life or not self.memory:
            raise PlanError(
                f"{', '.join(wrong) or 'a half-life is 0'}; half_life and memory are above 0, the others 0 or more"
            )

    def fit(self, logs: Logs) -> Ranker:
        """The ranker at the close of `logs`, which hold all history; ids beyond its vocabulary score as never seen.

        Memory grows with the pairs of items that share a user. Raises PlanError if the first two fields are not user
        and item.
        """
        if logs.fields[:2] != ("user", "item"):
            raise PlanError(f"the first two fields must be user and item; the logs have {', '.join(logs.fields)}")
        popularity = self._popularity(logs)
        interactions = self._interactions(logs)
        similarity = _cosine(interactions, self.shrinkage)

        def scores(users: Tensor, items: Tensor) -> Tensor:
            rows, columns = _clamp_ids(users, interactions.shape[0]), _clamp_ids(items, interactions.shape[1])
            neighbours = (interactions[rows] @ similarity)[:, columns].toarray()
            base = popularity[items.clamp(max=len(popularity) - 1)]
            return (base + self.weight * torch.from_numpy(neighbours)).float()

        return scores

    def _popularity(self, logs: Logs) -> Tensor:
        """Log of the decayed count of each item, [items + 1] float64; the last is of items never seen."""
        age = torch.arange(len(logs) - 1, -1, -1, dtype=torch.float64)
        count = torch.bincount(logs.rows[:, 1], 0.5 ** (age / self.half_life), minlength=logs.sizes[1] + 1)
        return (count + NEVER).log()

    def _interactions(self, logs: Logs) -> sp.csr_matrix:
        """The decayed number of interactions of each user with each item [users + 1, items + 1]; the last ones are empty."""
        decay = 0.5 ** ((logs.period - logs.periods).double() / self.memory)
        shape = (logs.sizes[0] + 1, logs.sizes[1] + 1)
        return sp.csr_matrix((decay.numpy(), (logs.rows[:, 0].numpy(), logs.rows[:, 1].numpy())), shape=shape)


def _cosine(interactions: sp.csr_matrix, shrinkage: float) -> sp.csr_matrix:
    """Shrunk cosine between columns, [items, items]; 0 between an item and itself."""
    product = (interactions.T @ interactions).tocoo()
    norm = np.sqrt(product.diagonal())
    off_diagonal = product.row != product.col
    row, col, value = product.row[off_diagonal], product.col[off_diagonal], product.data[off_diagonal]
    value = value / (norm[row] * norm[col] + shrinkage)
    return sp.csr_matrix((value, (row, col)), shape=product.shape)


def _clamp_ids(ids: Tensor, size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The ids; those beyond the table become its last row, which is empty."""
    return ids.clamp(max=size - 1).numpy()
