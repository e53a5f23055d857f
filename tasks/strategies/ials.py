"""IALS: matrix factorisation by alternating least squares, continued every night from the factors of the night before."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.threads import ThreadPool, thread_pool
from nightloop.tasks.plan.bounds import ROUNDS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.mf_weights import from_parts, inner_width
from nightloop.tasks.retraining.time_decay import check_half_life, decay_weights, user_item_matrix

NUMBERS = 1 << 20  # of the factors that a chunk of rows gathers: 8 MB


@dataclass(frozen=True)
class IALS:
    """Least-squares factors of decayed counts, by `sweeps` rounds a night from the factors of the night before.

    With c the number of times that a user took an item, each counting half `half_life` periods later, it minimises

        sum over pairs taken of c (1 - p_u . q_i)^2 + a sum over all pairs of (p_u . q_i)^2
        + r (sum over users of (c_u + a I) |p_u|^2 + sum over items of (c_i + a U) |q_i|^2)

    c_u and c_i are sums of c over a user's and an item's pairs, U and I the numbers of users and items, a
    `unobserved_weight`, and r `regularization`. A round solves for all items, then for all users; each solution is
    exact. Pairs that were not taken cost nothing more: their sum is that of two Gramians.

    Ten half-lives of logs are read, because what is older would count less than a thousandth. So a night does not take
    longer as history grows. Who has no row among them keeps the factors of the night before, and new rows begin with
    the model's first values. There are as many factors as MF has columns; if users take the same items again, more of
    them help. The result is the same bytes on any number of threads.

    Parameters
    ----------
    regularization : float, default 0.03
        Weight of the squared length of the factors, for each time that a row was taken, above 0. From 1 on all factors
        go to zero.
    unobserved_weight : float, default 0.03
        Weight of a pair that was not taken, beside 1 for each time that it was, above 0. A larger value makes
        popularity count for more.
    half_life : float, default 2.0
        Periods after which a row counts half, above 0 and below 1,000,000. A larger value counts older rows more.
    sweeps : int, default 2
        Rounds a night, 1 or more. Time is proportional to it.
    start_sweeps : int, default 10
        Rounds at the root, which begins with random factors, 1 or more.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Rendle et al. 2022, Revisiting the performance of iALS on item recommendation benchmarks: the objective, with
    regularisation by frequency. Hu, Koren and Volinsky 2008, Collaborative filtering for implicit feedback datasets.
    He et al. 2016, Fast matrix factorization for online recommendation with implicit feedback: going on from the
    factors before.

    Examples
    --------
    The mean score of the newest period's pairs, before and after they were learned from.

    >>> from nightloop.tasks.models.mf import MF
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.strategies.ials import IALS
    >>> from nightloop.tasks.training.predict import predict
    >>> model, periods = MF(width=8), simulated_periods("ranking")
    >>> before, after = run_chain(model, IALS(), periods)[-2:]
    >>> print([round(float(predict(model, one.weights, periods[-1].since(4)).mean()), 2) for one in (before, after)])
    [0.5, 0.93]
    """

    regularization: float = 0.03
    unobserved_weight: float = 0.03
    half_life: float = 2.0
    sweeps: int = 2
    start_sweeps: int = 10
    search_space: ClassVar[SearchSpace] = {
        "regularization": NumberRange(0.001, 0.1, log=True),
        "unobserved_weight": NumberRange(0.001, 1.0, log=True),
        "half_life": NumberRange(0.5, 100.0, log=True),
    }
    models: ClassVar[tuple[str, ...]] = ("MF",)

    def __post_init__(self) -> None:
        for name in ("regularization", "unobserved_weight"):
            if not 0 < getattr(self, name) < inf:
                raise PlanError(f"{name}: given {getattr(self, name)}; it is a number above 0")
        check_half_life("half_life", self.half_life)
        for name in ("sweeps", "start_sweeps"):
            refuse_outside(name, getattr(self, name), ROUNDS)

    @property
    def lookback(self) -> int:
        """Ten half-lives."""
        return ceil(10 * self.half_life)

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """Factors of the root's history, from random ones; the pre-trained weights are not used."""
        width, random = inner_width(model), logs.generator("ials")
        users, items = (torch.randn(size, width, generator=random) * 0.1 / width**0.5 for size in logs.sizes[:2])
        return self._factorise(model, logs, users, items, self.start_sweeps)

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Factors of the last ten half-lives, from those of the night before."""
        width = inner_width(model)
        users, items = (checkpoint.weights[name][:, :width] for name in ("table.user", "table.item"))
        return self._factorise(model, logs, users, items, self.sweeps)

    def _factorise(self, model: Model, logs: Logs, users: Tensor, items: Tensor, sweeps: int) -> Checkpoint:
        taken = user_item_matrix(logs, decay_weights(logs, self.half_life))
        of_users, of_items = _pairs_by_row(taken), _pairs_by_row(taken.T.tocsr())
        with thread_pool() as pool:
            for _ in range(sweeps):
                items = self._solve(of_items, users, items, pool)
                users = self._solve(of_users, items, users, pool)
        return Checkpoint(logs.period, from_parts(model, users, items, torch.zeros(len(items))))

    def _solve(self, pairs: PairLists, fixed: Tensor, before: Tensor, pool: ThreadPool) -> Tensor:
        """The best factors [R, d] of one side, given those of the other side; rows without a pair are as `before`.

        In the axes of the Gramian the part of the equations that all rows share is diagonal.
        """
        factors = fixed.double()
        lengths, axes = torch.linalg.eigh(factors.T @ factors)
        turned, shared = factors @ axes, self.unobserved_weight * lengths.clamp(min=0)
        strength = self.regularization * (pairs.total + self.unobserved_weight * len(fixed))

        def solve_chunk(rows: Tensor) -> Tensor:
            found: Tensor = _solve_rows(*_gather(pairs, rows, turned), shared + strength[rows, None]) @ axes.T
            return found.float()

        after: Tensor = before.clone()
        chunks = _chunks(pairs.counts, factors.shape[1])
        for rows, found in zip(chunks, pool.map(solve_chunk, chunks), strict=True):
            after[rows] = found
        return after


class PairLists(NamedTuple):
    """The pairs of each row of one side; those of row r are `starts[r]` to `starts[r] + counts[r]`."""

    starts: Tensor  # [R] int64
    counts: Tensor  # [R] int64
    other: Tensor  # [m] int64: the row of the other side
    weight: Tensor  # [m] float64
    total: Tensor  # [R] float64: sums of the weights


def _pairs_by_row(taken: csr_matrix) -> PairLists:
    start, other = (torch.from_numpy(part).long() for part in (taken.indptr, taken.indices))
    total = torch.from_numpy(np.asarray(taken.sum(axis=1)).ravel())
    return PairLists(start[:-1], start.diff(), other, torch.from_numpy(taken.data), total)


def _chunks(count: Tensor, width: int) -> list[Tensor]:
    """The rows that have pairs, in chunks of similar counts; a chunk has about `NUMBERS` factors, or one row."""
    order = torch.argsort(count, descending=True, stable=True)[: int((count > 0).sum())]
    counts, chunks, at = count[order].tolist(), [], 0
    while at < len(counts):
        most = max(NUMBERS // (counts[at] * width), 1)
        chunks.append(order[at : at + most])
        at += most
    return chunks


def _gather(pairs: PairLists, rows: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """For each of B rows, roots of its weights [B, n] and the factors [B, n, d] times these; zeros where it has fewer."""
    place = torch.arange(int(pairs.counts[rows].max()))
    inside = place < pairs.counts[rows, None]
    at = torch.where(inside, pairs.starts[rows, None] + place, 0)
    root = torch.where(inside, pairs.weight[at], 0.0).sqrt()
    return root, factors[pairs.other[at]] * root[..., None]


def _solve_rows(root: Tensor, scaled: Tensor, diagonal: Tensor) -> Tensor:
    """The solutions x [B, d] of (S^T S + diag(`diagonal`)) x = S^T `root`, S [n, d] being a row of `scaled`.

    If n is below d, x = D S^T y with (S D S^T + 1) y = `root` and D = diag(1 / `diagonal`): n equations in place of d.
    """
    few, target = scaled.shape[1] < scaled.shape[2], root[..., None]
    if few:
        divided = scaled / diagonal[:, None]
        left = divided @ scaled.mT + torch.eye(scaled.shape[1], dtype=scaled.dtype)
        return (divided.mT @ torch.cholesky_solve(target, torch.linalg.cholesky(left)))[..., 0]
    left = scaled.mT @ scaled + torch.diag_embed(diagonal)
    return torch.cholesky_solve(scaled.mT @ target, torch.linalg.cholesky(left))[..., 0]
