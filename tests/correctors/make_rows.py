"""A small world of clicks whose base probabilities, hidden vectors and true rates are known: for the correctors' tests."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from nightloop.tasks.correction.chain import Chain, begin_chain
from nightloop.tasks.correction.corrector import Corrector, ScoredRows, Shape

USERS, ITEMS, WIDTH = 60, 40, 16


@dataclass(frozen=True)
class Stream:
    """Rows in order of time; the base model is right until `turn`, and then wrong about some items by a lot."""

    scored: ScoredRows
    label: Tensor
    places: list[Tensor] = field(default_factory=list)


def stream(rows: int, shift: float = 0.0, turn: float = 0.25, seed: int = 0) -> Stream:
    """Labels are drawn from sigmoid(z); from `turn` on, z is `shift` higher for a quarter of the items."""
    g = torch.Generator().manual_seed(seed)
    users, items = torch.randn(USERS, WIDTH, generator=g), torch.randn(ITEMS, WIDTH, generator=g)
    u, i = (torch.randint(n, (rows,), generator=g) for n in (USERS, ITEMS))
    z = (users[u] * items[i]).sum(1) * 0.2 - 1
    moved = shift * ((i < ITEMS // 4) & (torch.arange(rows) >= turn * rows))
    label = (torch.rand(rows, generator=g) < torch.sigmoid(z + moved)).float()
    hidden = torch.cat([users[u], items[i]], 1).relu()
    return Stream(ScoredRows(torch.stack([u, i], 1), hidden, torch.sigmoid(z)), label)


def part(scored: ScoredRows, places: slice) -> ScoredRows:
    return ScoredRows(scored.rows[places], scored.hidden[places], scored.probability[places])


def chain(*correctors: Corrector, version: str = "a") -> Chain:
    return begin_chain(version, {f"c{n}": one for n, one in enumerate(correctors)}, Shape(2 * WIDTH, USERS, ITEMS))


def prequential(one: Chain, made: Stream, slot: int = 200) -> Tensor:
    """Corrected probabilities, slot by slot: score, then observe."""
    found = torch.empty(len(made.label))
    for first in range(0, len(found), slot):
        places = slice(first, first + slot)
        found[places], notes = one.correct(part(made.scored, places))
        one.observe(one.version, notes, made.label[places])
    return found
