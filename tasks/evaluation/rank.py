"""Rank: how many candidates score above each row's item and how many equal to it, drawn at random or in the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import CandidateBlock, Candidates
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import with_zero_rows, zero_row
from nightloop.tasks.modules.pair_scores import UNKNOWN, PairScores, pair_scores_of
from nightloop.tasks.plan.errors import DataError

Factors = Callable[[Weights], tuple[Tensor, Tensor]]  # weights -> users [U, d], items [I, d]
Ranker = Callable[[Tensor, Tensor], Tensor]  # users [B], items [P] -> scores [B, P]; ids may be beyond what it knows


def from_factors(users: Tensor, items: Tensor) -> Ranker:
    """The ranker of dot products.

    Users beyond the table are the mean user, and items beyond it score 0. Products are added up in float64 and rounded
    once, so that equal items tie exactly in every block, and the same ranks come out on every machine.

    Parameters
    ----------
    users : Tensor
        [U, d] vectors of users.
    items : Tensor
        [I, d] vectors of items.

    Returns
    -------
    Ranker
        A function of user ids [B] and item ids [P] to scores [B, P] float32.

    Raises
    ------
    DataError
        NaN or infinity, or tables of different widths.

    Examples
    --------
    User 0, and an unknown user, whose vector is (1/2, 1/2); item 9 is unknown.

    >>> import torch
    >>> from nightloop.tasks.evaluation.rank import from_factors
    >>> ranker = from_factors(users=torch.eye(2), items=torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
    >>> ranker(torch.tensor([0, 9]), torch.tensor([0, 1, 9])).tolist()
    [[2.0, 0.0, 0.0], [1.0, 2.0, 0.0]]
    """
    if users.dim() != 2 or items.dim() != 2 or users.shape[1] != items.shape[1]:
        raise DataError(f"factors must be [U, d] and [I, d]: {tuple(users.shape)} and {tuple(items.shape)} were given")
    return dot_products(torch.cat([users, mean_user(users)]), zero_row(items))


def from_weights(factors: Factors, weights: Weights) -> Ranker:
    """The ranker of a model. It ranks as the predictor does.

    A user beyond the table is the mean user, so that an unknown user is shown what is popular, or the weights' own row
    of an unknown user if they have one; an item beyond the table is a row of zeros. Pair scores of the weights are added.

    Parameters
    ----------
    factors : callable
        The model's `factors`: from weights to users [U, d] and items [I, d].
    weights : Weights
        The weights of a checkpoint.

    Returns
    -------
    Ranker
        As for `from_factors`.

    Raises
    ------
    DataError
        The factors hold NaN or infinity.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.evaluation.rank import from_weights
    >>> from nightloop.tasks.models.mf import MF
    >>> weights = {"table.user": torch.eye(2), "table.item": torch.tensor([[2.0, 0.0], [0.0, 4.0]])}
    >>> from_weights(MF(width=2).factors, weights)(torch.tensor([0, 9]), torch.tensor([0, 1])).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    users, items, pairs = ranking_parts(factors, weights)
    return dot_products(users, items, pairs)


def ranking_parts(factors: Factors, weights: Weights) -> tuple[Tensor, Tensor, PairScores | None]:
    """What weights rank by: users [U + 1, d], items [I + 1, d], and what is added to single pairs.

    The last rows are those of an unknown user and of an unknown item.
    """
    padded = with_zero_rows(weights)
    users, items = factors(padded)
    unknown = factors({**padded, "table.user": weights[UNKNOWN]})[0] if UNKNOWN in weights else mean_user(users[:-1])
    return torch.cat([users[:-1], unknown]), items, pair_scores_of(weights)


def mean_user_ranker(factors: Factors, weights: Weights) -> Ranker:
    """As `from_weights`, with every user taken for an unknown one: what a model is without personalisation.

    Parameters
    ----------
    factors, weights
        As for `from_weights`.

    Returns
    -------
    Ranker
        Equal scores for all users.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.evaluation.rank import mean_user_ranker
    >>> from nightloop.tasks.models.mf import MF
    >>> weights = {"table.user": torch.eye(2), "table.item": torch.tensor([[2.0, 0.0], [0.0, 4.0]])}
    >>> mean_user_ranker(MF(width=2).factors, weights)(torch.tensor([0, 1]), torch.tensor([0, 1])).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    users, items, _ = ranking_parts(factors, weights)
    return dot_products(users[-1:], items)


def mean_user(users: Tensor) -> Tensor:
    """The vector of an unknown user: the mean [1, d] of users [U, d]; zeros if there are none."""
    return users.mean(0, keepdim=True) if len(users) else users.new_zeros(1, users.shape[1])


def dot_products(users: Tensor, items: Tensor, pairs: PairScores | None = None) -> Ranker:
    """Dot products in float64, rounded to float32, and pair scores; ids beyond the last row score as the last row."""
    for name, table in (("user", users), ("item", items)):
        if not bool(torch.isfinite(table).all()):
            raise DataError(f"{name} factors hold NaN or infinity: this checkpoint cannot rank")
    left, right = users.detach().double(), items.detach().double()

    def scores(user_ids: Tensor, item_ids: Tensor) -> Tensor:
        rows = left.index_select(0, user_ids.clamp(max=len(left) - 1))
        dots = (rows @ right.index_select(0, item_ids.clamp(max=len(right) - 1)).T).float()
        return dots if pairs is None else dots + pairs.at(user_ids, item_ids)

    return scores


def rank(ranker: Ranker, candidates: Candidates) -> dict[str, Tensor]:
    """A scored period: how many candidates score above each row's item, and how many exactly as high.

    Parameters
    ----------
    ranker : Ranker
        A function of user ids [B] and item ids [P] to scores [B, P].
    candidates : Candidates
        What each row's item is ranked against.

    Returns
    -------
    dict of str to Tensor
        Columns, each [n]: `user`, `item` int64; `new_user`, `new_item` bool (born in the row's own period); `pool`
        int32 (rows of one pool share its random error); `above`, `equal` int32; and, if the catalogue was ranked,
        `catalogue_above` and `catalogue_equal`: -1 for rows that were not ranked against it.

    Raises
    ------
    DataError
        Scores are NaN.

    Examples
    --------
    Recall@2 of a scorer that scores everything equally, against five candidates: 2 / 6.

    >>> import torch
    >>> from nightloop.tasks.evaluation.candidates import sample_candidates
    >>> from nightloop.tasks.evaluation.rank import from_factors, rank
    >>> from nightloop.tasks.evaluation.summary import summarize_metrics
    >>> from nightloop.tasks.plan.plan import Ranking
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> before, logs = simulated_periods("ranking")[3:]
    >>> candidates = sample_candidates(logs.since(4), before.rows, Ranking(negatives=5))
    >>> scored = rank(from_factors(torch.zeros(1, 2), torch.zeros(1, 2)), candidates)
    >>> print(round(summarize_metrics(scored, "ranking", ks=[2])["recall@2"], 3))
    0.333
    """
    logs = candidates.logs
    columns = {"user": logs.rows[:, 0].clone(), "item": logs.rows[:, 1].clone()}
    for column, field in ((0, "user"), (1, "item")):
        columns[f"new_{field}"] = logs.born[column][logs.rows[:, column]] == logs.periods
    columns["pool"] = (torch.arange(len(logs)) // candidates.block).int()
    columns["above"], columns["equal"] = _count_blocks(ranker, logs, candidates.sampled)
    if candidates.catalogue is not None:
        counts = _count_blocks(ranker, logs, candidates.catalogue)
        ranked = torch.zeros(len(logs), dtype=torch.bool)
        for block in candidates.catalogue:
            ranked[block.rows] = True
        columns["catalogue_above"], columns["catalogue_equal"] = torch.where(ranked, counts, -1)
    return columns


def _count_blocks(ranker: Ranker, logs: Logs, blocks: Sequence[CandidateBlock]) -> Tensor:
    """Above and equal [2, n] over all blocks of candidates; a block of rows may have several."""
    total = torch.zeros(2, len(logs), dtype=torch.int32)
    for block in blocks:
        total[:, block.rows] += _count(ranker, logs, block)
    return total


def _count(ranker: Ranker, logs: Logs, block: CandidateBlock) -> Tensor:
    """Above and equal [2, B] of one block of candidates."""
    users, items, size = logs.rows[block.rows, 0], logs.rows[block.rows, 1], len(block.pool)
    scores = ranker(users, torch.cat([block.pool, items]))  # one product, so that an equal item scores the same
    _no_nan(scores)
    own = scores[:, size:].diagonal()[:, None]
    marks = (scores[:, :size] > own, scores[:, :size] == own)
    return torch.stack([_count_marks(mark, block.cut, block.row, block.place) for mark in marks])


def _count_marks(mark: Tensor, cut: Tensor, row: Tensor, position: Tensor) -> Tensor:
    """Marks of each row before its cut, without the excluded ones: [B]."""
    full = int(cut.min())
    total = mark[:, :full].sum(1)
    tail = torch.arange(full, mark.shape[1]) < cut[:, None]
    total += (mark[:, full:] & tail).sum(1)
    excluded_marks = mark[row, position] & (position < cut[row])
    return total.index_add_(0, row, -excluded_marks.long())


def _no_nan(scores: Tensor) -> None:
    if not bool(torch.isfinite(scores.sum())) and bool(torch.isnan(scores).any()):  # the sum is a cheap first check
        raise DataError(f"{int(torch.isnan(scores).sum())} of {scores.numel()} scores are NaN; a NaN cannot be ranked")
