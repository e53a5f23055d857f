"""Prequential loss: how well weights would have served a closed period, measured before training on it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.training.predict import predict


def evaluation_rows(model: Model, logs: Logs) -> Logs:
    """The rows to evaluate on: labelled rows as they are, a ranking's rows with as many negatives."""
    return with_negatives(logs) if model.family == "ranking" else logs


def with_negatives(logs: Logs) -> Logs:
    """The positives, then as many rows with items drawn uniformly from those seen so far, labelled 0."""
    n, item = len(logs), logs.fields.index("item")
    twice = logs.select(torch.arange(n).repeat(2))
    rows, label = twice.rows.clone(), twice.label.clone()
    rows[n:, item] = torch.randint(logs.sizes[item], (n,), generator=logs.generator("average/negatives"))
    label[n:] = 0
    return replace(twice, rows=rows, label=label)


def mean_logloss(model: Model, weights: Weights, logs: Logs) -> float:
    """Mean binary cross-entropy of the weights on labelled rows."""
    return float(binary_cross_entropy_with_logits(predict(model, weights, logs), logs.label))
