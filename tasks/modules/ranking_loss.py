"""Ranking loss: what a ranking is trained on, from the score of a positive and the scores of its sampled negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.kernels import portable_math
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.train_config import RankingLossName, TrainConfig
from nightloop.tasks.plan.errors import DataError


@dataclass(frozen=True, eq=False)
class RankingLoss:
    """The loss of a positive with score s_0 and K negatives with scores s_1, ..., s_K, and its gradient in closed form.

        bce       log(1 + exp(-s_0)) + sum_k log(1 + exp(s_k))
        bpr       sum_k log(1 + exp(s_k - s_0))
        softmax   -log(exp(s_0) / (exp(s_0) + sum_k exp(s_k)))

    A score is a logit less `shift` of its item. With negatives drawn by frequency the shift is log(Q I), Q the chance that
    the item is drawn and I the number of items, so that the model learns the logit and not logit - log Q. With
    uniform negatives it is zero.

    Parameters
    ----------
    name : {"bce", "bpr", "softmax"}, default "bce"
        Which loss.
    shift : Tensor, optional
        [I] float32 of each item. If it is not given, there is none.
    item : int, default 1
        Number of the item's column in the rows of a `Batch`.

    References
    ----------
    Rendle et al. 2009, BPR: Bayesian personalized ranking from implicit feedback. Yi et al. 2019, Sampling-bias-corrected
    neural modeling for large corpus item recommendations, equation 3 (the correction by log Q).

    Examples
    --------
    A positive with logit 1 and two negatives with logit 0: the loss and how the logits should move.

    >>> import torch
    >>> from nightloop.tasks.modules.ranking_loss import RankingLoss
    >>> scores = torch.tensor([[1.0, 0.0, 0.0]])
    >>> for name in ("bce", "bpr", "softmax"):
    ...     loss = RankingLoss(name)
    ...     print(round(loss.mean(scores, None).item(), 3), loss.gradient(scores, None).numpy().round(3))
    1.7 [[-0.269  0.5    0.5  ]]
    0.627 [[-0.538  0.269  0.269]]
    0.551 [[-0.424  0.212  0.212]]
    """

    name: RankingLossName = "bce"
    shift: Tensor | None = None
    item: int = 1

    def scores(self, logits: Tensor, items: Tensor) -> Tensor:
        """The logits of `items`, any shape, less their shift."""
        return logits if self.shift is None else logits - self.shift[items]

    def gradient(self, scores: Tensor, real: Tensor | None) -> Tensor:
        """The gradient [n, 1 + K] of each row's loss by its scores [n, 1 + K], the positive's first.

        `real` [n, K] says which negatives count; None: all. The bytes are those of the compiled step.
        """
        if self.name == "bce":
            gradient = portable_math.sigmoid(scores)
            gradient[:, 0] -= 1.0
            return gradient if real is None else torch.cat([gradient[:, :1], gradient[:, 1:] * real], 1)
        if self.name == "bpr":
            negatives = portable_math.sigmoid(scores[:, 1:] - scores[:, :1])
            negatives = negatives if real is None else negatives * real
            return torch.cat([-_sum_in_order(negatives)[:, None], negatives], 1)
        if real is not None:
            scores = torch.cat([scores[:, :1], scores[:, 1:].masked_fill(~real, -torch.inf)], 1)
        exponentials = portable_math.exp(scores - scores.amax(1, keepdim=True))
        if real is not None:
            exponentials[:, 1:] *= real
        gradient = exponentials * _sum_in_order(exponentials).reciprocal_()[:, None]
        gradient[:, 0] -= 1.0
        return gradient

    def mean(self, scores: Tensor, real: Tensor | None) -> Tensor:
        """The mean loss over rows of scores [n, 1 + K]."""
        keep = torch.ones_like(scores, dtype=torch.bool)
        if real is not None:
            keep[:, 1:] = real
        if self.name == "bce":
            signed = torch.cat([-scores[:, :1], scores[:, 1:]], 1)
            total = softplus(signed)[keep].sum()
        elif self.name == "bpr":
            total = softplus(scores[:, 1:] - scores[:, :1])[keep[:, 1:]].sum()
        else:
            total = (scores.masked_fill(~keep, -torch.inf).logsumexp(1) - scores[:, 0]).sum()
        return total / len(scores)

    def __call__(self, batch: Batch) -> Tensor:
        """The mean over positives of a `Batch`, differentiable, for models that are trained by autograd."""
        if batch.positive is None:
            raise DataError(f"the loss {self.name} needs negatives; these rows have none")
        scores = self.scores(batch.logits, batch.rows[:, self.item])
        if self.name == "bce":
            return cross_entropy(batch._replace(logits=scores))
        own, negatives = scores[: batch.taken], scores[batch.taken :]
        of = batch.positive[batch.taken :]
        if self.name == "bpr":
            return softplus(negatives - own[of]).sum() / batch.taken
        largest = own.detach().scatter_reduce(0, of, negatives.detach(), "amax")
        total = (own - largest).exp().index_add(0, of, (negatives - largest[of]).exp())
        return (total.log() + largest - own).sum() / batch.taken


def ranking_loss(training: TrainConfig, logs: Logs, fields: Sequence[str]) -> RankingLoss:
    """The loss of a ranking's settings on these logs, for a model with these fields.

    Examples
    --------
    >>> from nightloop.tasks.modules.ranking_loss import ranking_loss
    >>> from nightloop.tasks.modules.train_config import TrainConfig
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> ranking_loss(TrainConfig(loss="bpr"), simulated_periods("ranking")[0], ("user", "item")).name
    'bpr'
    """
    if training.sampling == "uniform":
        return RankingLoss(training.loss, item=fields.index("item"))
    column = logs.fields.index("item")
    counts = torch.bincount(logs.rows[:, column], minlength=logs.sizes[column]).double()
    share = counts.clamp(min=1) * (logs.sizes[column] / max(len(logs), 1))
    return RankingLoss(training.loss, share.log().float(), fields.index("item"))


def _sum_in_order(values: Tensor) -> Tensor:
    """The sum [n] of columns, from the first to the last."""
    total = values[:, 0]
    for column in range(1, values.shape[1]):
        total = total + values[:, column]
    return total
