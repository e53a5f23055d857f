"""Popular candidates: drawn in proportion to how often items were taken, so that popularity does not help. Bake-offs rank by both."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import Candidates, sample_blocks
from nightloop.tasks.plan.plan import Ranking


def sample_popular(logs: Logs, taken: Tensor, ranking: Ranking) -> Candidates:
    """As `sample_candidates`, but drawn one after another in proportion to how often an item is in `taken`.

    Popularity then helps little: what an item is ranked against is popular as well. Items that were never taken
    before come last.

    Parameters
    ----------
    logs, taken, ranking
        As for `sample_candidates`.

    Returns
    -------
    Candidates
        For `rank`.

    Examples
    --------
    Sixty rows, of which each eight share the items that they are ranked against.

    >>> from nightloop.tasks.evaluation.popular_candidates import sample_popular
    >>> from nightloop.tasks.plan.plan import Ranking
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> before, logs = simulated_periods("ranking")[3:]
    >>> candidates = sample_popular(logs.since(4), before.rows, Ranking(negatives=5))
    >>> candidates.block, len(candidates.sampled)
    (8, 8)
    """
    generator = logs.generator("candidates/popular")
    return sample_blocks(logs, taken, ranking, lambda items: PopularitySampler(_counts(taken, items), generator))


@dataclass
class PopularitySampler:
    """Draws items by weight: each draw takes a remaining item in proportion to `weights`.

    Every block of rows has a new order. The order of exponential random times with these rates is the order of
    successive draws without replacement.

    Parameters
    ----------
    weights : Tensor
        [items] float64. Items of weight 0 come last, in any order.
    generator : torch.Generator
        Where the order is drawn from.
    order : Tensor, default empty
        The present order.

    References
    ----------
    Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir.

    Examples
    --------
    Of three items, one was taken 98 times and one twice: the first is nearly always drawn.

    >>> import torch
    >>> from nightloop.tasks.evaluation.popular_candidates import PopularitySampler
    >>> sampler = PopularitySampler(torch.tensor([98.0, 2.0, 0.0]).double(), torch.Generator().manual_seed(0))
    >>> nothing = torch.zeros(0, dtype=torch.int64)
    >>> round(sum(sampler.sample(nothing, 1).item() == 0 for _ in range(500)) / 500, 1)
    1.0
    """

    weights: Tensor  # float64
    generator: Generator
    order: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.weights)

    def sample(self, pool: Tensor, size: int) -> Tensor:
        """The first `size` items of a new order, or of the present one if `pool` was drawn already: [size]."""
        if not len(pool):
            clocks = torch.empty(self.items, dtype=torch.float64).exponential_(generator=self.generator)
            never_taken = torch.where(self.weights > 0, 0.0, 1.0)  # items of weight 0 come last, in any order
            self.order = torch.argsort(clocks / self.weights.clamp(min=1.0))
            self.order = self.order[torch.argsort(never_taken[self.order], stable=True)]
        return self.order[:size]


def _counts(taken: Tensor, items: int) -> Tensor:
    """How often each of the first `items` items was taken."""
    return torch.bincount(taken[:, 1].long(), minlength=items)[:items].double()
