"""Online selection: which of several settings would have served best so far, each evaluated on rows before their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from nightloop.tasks.correction.corrector import State, forget

Setting = TypeVar("Setting")
TRIED = 512  # most rows of a delivery on which settings are evaluated: more cost time and do not change the choice
LEAST = 1e-6  # smallest probability in a loss
SUMS = ("trials.gain", "trials.square", "trials.rows")


def no_trials(settings: int) -> State:
    """Empty evidence about each setting, as a part of the corrector's state."""
    state = {
        "trials.gain": torch.zeros(settings),
        "trials.square": torch.zeros(settings),
        "trials.rows": torch.zeros(1),
    }
    best = torch.full((1,), -1)
    return {**state, "trials.weight": torch.ones(1, dtype=torch.float64), "trials.best": best}


def add_evidence(state: State, before: Tensor, after: Tensor, label: Tensor, half_life: int, caution: float) -> None:
    """Add to the evidence: probabilities before correction [n] and after that of each setting [n, S], with labels [n].

    Rows that no setting changes do not count. Evidence counts half after `half_life` rows (0: never). `best_setting` is
    then the setting whose gain in log loss, minus `caution` standard errors, is largest.
    """
    positive = label[:, None] > 0.5
    (was, now) = (torch.where(positive, p, 1 - p).clamp(LEAST, 1).log() for p in (before[:, None], after))
    gain, weight = now - was, state["trials.weight"].float()
    state["trials.gain"] += gain.sum(0) * weight
    state["trials.square"] += gain.square().sum(0) * weight
    state["trials.rows"] += (gain != 0).any(1).sum() * weight
    part = {name.removeprefix("trials."): state[name] for name in (*SUMS, "trials.weight")}  # the tensors themselves
    forget(part, ("gain", "square", "rows"), len(label), half_life)
    state["trials.best"].fill_(_best(state, caution))


def best_setting(state: State, settings: Sequence[Setting], none: Setting) -> Setting:
    """The setting to use: the only one, or the best; `none` if no setting is surely a gain."""
    best = int(state["trials.best"])
    return settings[0] if len(settings) == 1 else none if best < 0 else settings[best]


def _best(state: State, caution: float) -> int:
    rows = state["trials.rows"].clamp(min=1)
    mean = state["trials.gain"] / rows
    spread = (state["trials.square"] / rows - mean.square()).clamp(min=0)
    sure = mean - caution * (spread / (rows / state["trials.weight"].float()).clamp(min=1)).sqrt()
    best = int(sure.argmax())
    return best if float(sure[best]) > 0 else -1
