"""Loss: what a training step minimises. A strategy gives its own loss to `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs


class Batch(NamedTuple):
    """One training step, as a loss sees it.

    In a ranking the first `taken` entries are positives, the others sampled negatives.

    Attributes
    ----------
    logits : Tensor
        [n], differentiable.
    label : Tensor
        [n] float32, from 0 to 1.
    positions : Tensor
        [n] int64: the row of the logs that each entry came from; of a negative that of its positive.
    rows : Tensor
        [n, F] int64: vocabulary rows, with negatives in place of items.
    embedded : Tensor
        [n, F, width]: rows of the tables, differentiable, for penalties on them.
    taken : int
        Number of rows of the logs in this step.
    positive : Tensor, optional
        [n] int64: of each entry the number of its positive among the first `taken`. Only in a ranking.
    """

    logits: Tensor
    label: Tensor
    positions: Tensor
    rows: Tensor
    embedded: Tensor
    taken: int
    positive: Tensor | None = None


Loss = Callable[[Batch], Tensor]  # a scalar: the mean over rows of the logs, whatever the size of the batch
Objective = Callable[[Logs], Loss]  # the loss for rows, once they are known: a learner picks and mixes them


def cross_entropy(batch: Batch) -> Tensor:
    """Binary cross-entropy, summed over entries and divided by the number of rows of the logs.

    With labels that is the mean. In a ranking it is the mean over positives plus the mean over negatives, as in SML's
    code.

    Parameters
    ----------
    batch : Batch
        The step.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    With logits of zero every entry costs log 2 = 0.693: once for a labelled row, twice for a positive with its
    negative.

    >>> import torch
    >>> from nightloop.tasks.modules.loss import Batch, cross_entropy
    >>> none, label = torch.zeros(2, 0), torch.tensor([1.0, 0.0])
    >>> impressions = Batch(torch.zeros(2), label, torch.tensor([0, 1]), none, none, taken=2)
    >>> ranking = Batch(torch.zeros(2), label, torch.tensor([0, 0]), none, none, taken=1)
    >>> print(round(cross_entropy(impressions).item(), 3), round(cross_entropy(ranking).item(), 3))
    0.693 1.386
    """
    return binary_cross_entropy_with_logits(batch.logits, batch.label, reduction="sum") / batch.taken


def labels(logs: Logs) -> Loss:
    """The usual objective: cross-entropy with the labels of the rows.

    Parameters
    ----------
    logs : Logs
        The rows that will be trained on. They do not matter here; other objectives read them.

    Returns
    -------
    Loss
        `cross_entropy`.
    """
    return cross_entropy
