"""Replay: the predictions of correctors for a period, slot by slot in order of time: first score, then observe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.correction.chain import begin_chain
from nightloop.tasks.correction.corrector import Corrector, ScoredRows, Shape
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.training.hidden_features import logits_and_hidden


@dataclass(frozen=True)
class ReplayResult:
    """Probabilities [n] in the order of the logs: the model's own, and the corrected ones.

    Parameters
    ----------
    base : Tensor
        [n] of the model.
    corrected : Tensor
        [n] of the last corrector.
    """

    base: Tensor
    corrected: Tensor


@torch.no_grad()
def replay_stream(
    correctors: Mapping[str, Corrector], model: Model, weights: Weights, logs: Logs, slot: int = 1000, delay: int = 0
) -> ReplayResult:
    """Correct the predictions for `logs` slot by slot in order of time, each before its labels are known.

    The correctors start with nothing learned.

    Parameters
    ----------
    correctors : mapping of str to Corrector
        By label; each corrects what the one before returned.
    model : Model
        A click model.
    weights : Weights
        Its weights.
    logs : Logs
        n rows.
    slot : int, default 1000
        Rows of a slot at least, 1 or more. Rows of one instant are never in two slots.
    delay : int, default 0
        Slots after which the labels of a slot are known: 0 for the next slot.

    Returns
    -------
    ReplayResult
        Probabilities before and after correction.

    Raises
    ------
    PlanError
        The model is for rankings, `slot` is below 1 or `delay` below 0.

    Examples
    --------
    The click rate, the prediction of an untrained model for the last row, and the corrected one.

    >>> from tests.correctors.replay import replay_stream
    >>> from nightloop.tasks.correctors.recalibration import Recalibration
    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.training.resize import initial_weights
    >>> model, logs = FM(["user", "item"], width=4), simulated_periods("ctr", rows=200, count=1)[0]
    >>> found = replay_stream({"rate": Recalibration()}, model, initial_weights(model, logs), logs, slot=100)
    >>> print([round(p, 2) for p in (logs.label.mean().item(), found.base[-1].item(), found.corrected[-1].item())])
    [0.39, 0.5, 0.47]
    """
    if model.family != "ctr" or slot < 1 or delay < 0:
        raise PlanError(
            f"given a {model.family} model, slots of {slot} rows and a delay of {delay}; a click model, 1 or more and 0 "
            "or more are needed"
        )
    base, corrected = torch.empty(len(logs)), torch.empty(len(logs))
    if not len(logs):
        return ReplayResult(base, corrected)
    width = logits_and_hidden(model, weights, logs.select(torch.zeros(1, dtype=torch.int64)))[1].shape[1]
    users, items = (len(weights[f"table.{field}"]) for field in ("user", "item"))
    chain = begin_chain("replay", correctors, Shape(width, users, items))
    waiting = []
    for places in time_slots(logs.time, slot):
        part = logs.select(places)
        logits, hidden = logits_and_hidden(model, weights, part)
        base[places] = torch.sigmoid(logits)
        corrected[places], notes = chain.correct(ScoredRows(part.rows, hidden, base[places]))
        waiting.append((notes, part.label))
        if len(waiting) > delay:
            chain.observe("replay", *waiting.pop(0))
    return ReplayResult(base, corrected)


def time_slots(time: Tensor, rows: int) -> list[Tensor]:
    """Positions of rows in order of `time` [n], cut into slots of at least `rows`; equal times stay together.

    Examples
    --------
    >>> import torch
    >>> from tests.correctors.replay import time_slots
    >>> [slot.tolist() for slot in time_slots(torch.tensor([30, 10, 20, 20, 40]), rows=2)]
    [[1, 2, 3], [0, 4]]
    """
    order = torch.argsort(time, stable=True)
    ordered, cuts, first = time[order], [], 0
    while first < len(order):
        last = min(first + rows, len(order))
        last = int(torch.searchsorted(ordered, ordered[last - 1], right=True))
        cuts.append(order[first:last])
        first = last
    return cuts
