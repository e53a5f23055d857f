"""Replay: what correctors would have made of a period, slot by slot in order of time: score, then observe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nightloop.tasks.correction.chain import begin
from nightloop.tasks.correction.corrector import Corrector, Scored, Shape
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.training.hidden_features import logits_and_hidden


@dataclass(frozen=True)
class Replayed:
    """Probabilities [n] in the order of the logs: the model's own, and what the correctors made of them."""

    base: Tensor
    corrected: Tensor


@torch.no_grad()
def replay(
    correctors: Mapping[str, Corrector], model: Model, weights: Weights, logs: Logs, slot: int = 1000, delay: int = 0
) -> Replayed:
    """The rows of `logs` in slots of `slot` rows, in order of time; rows of one moment are never in two slots.

    A slot's labels are known to the slots after it, or `delay` slots later. Begins with nothing known. Raises PlanError
    for what is no click model and a slot below 1.
    """
    if model.family != "ctr" or slot < 1 or delay < 0:
        raise PlanError(
            f"given a {model.family} model, slots of {slot} rows and a delay of {delay}; a click model, 1 or more and 0 "
            "or more are needed"
        )
    base, corrected = torch.empty(len(logs)), torch.empty(len(logs))
    if not len(logs):
        return Replayed(base, corrected)
    width = logits_and_hidden(model, weights, logs.select(torch.zeros(1, dtype=torch.int64)))[1].shape[1]
    users, items = (len(weights[f"table.{field}"]) for field in ("user", "item"))
    chain = begin("replay", correctors, Shape(width, users, items))
    waiting = []
    for places in slots(logs.time, slot):
        part = logs.select(places)
        logits, hidden = logits_and_hidden(model, weights, part)
        base[places] = torch.sigmoid(logits)
        corrected[places], notes = chain.correct(Scored(part.rows, hidden, base[places]))
        waiting.append((notes, part.label))
        if len(waiting) > delay:
            chain.observe("replay", *waiting.pop(0))
    return Replayed(base, corrected)


def slots(time: Tensor, rows: int) -> list[Tensor]:
    """Positions of rows in order of `time` [n], cut into slots of at least `rows`; equal times stay together."""
    order = torch.argsort(time, stable=True)
    ordered, cuts, first = time[order], [], 0
    while first < len(order):
        last = min(first + rows, len(order))
        last = int(torch.searchsorted(ordered, ordered[last - 1], right=True))
        cuts.append(order[first:last])
        first = last
    return cuts
