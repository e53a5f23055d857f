"""Loss: what a training step makes small; the place where a strategy says what else it wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs


class Batch(NamedTuple):
    """One step, as a loss sees it. Of a ranking the first `taken` entries are positives, the rest sampled negatives."""

    logits: Tensor  # [n] differentiable
    label: Tensor  # [n] float32 in [0, 1]
    positions: Tensor  # [n] int64: row of the logs each entry came from (a negative: that of its positive)
    rows: Tensor  # [n, F] int64 vocabulary rows, negatives in place
    embedded: Tensor  # [n, F, width] rows of the tables, differentiable: for penalties on them
    taken: int  # rows of the logs in this step


Loss = Callable[[Batch], Tensor]  # a scalar: the mean over rows of the logs, whatever the size of the batch
Objective = Callable[[Logs], Loss]  # what rows are trained for, once it is known which: a learner picks and mixes them


def cross_entropy(batch: Batch) -> Tensor:
    """Binary cross-entropy, summed over entries, divided by rows of the logs.

    With labels that is the mean; in a ranking the mean over positives plus the mean over negatives (SML, its code).
    """
    return binary_cross_entropy_with_logits(batch.logits, batch.label, reduction="sum") / batch.taken


def labels(logs: Logs) -> Loss:
    """The objective of all who have no other: the labels of the rows, by cross-entropy."""
    return cross_entropy
