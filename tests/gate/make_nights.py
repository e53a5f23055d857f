"""Nights made by hand for tests of the gate: users with tastes of their own, so that their rows are alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from nightloop.tasks.gate.decide import decide
from nightloop.tasks.gate.evidence import Evidence
from nightloop.tasks.plan.plan import Gate
from nightloop.tasks.record.outcomes import Decision

Scored = dict[str, Tensor]


def rows(n: int, users: int, g: Generator) -> Scored:
    """Who takes what on a night; a few users are busy."""
    weight = 1 / (torch.arange(users) + 3.0)
    user = torch.multinomial(weight, max(n, 1), replacement=True, generator=g)[:n]
    item = torch.randint(500, (n,), generator=g)
    return {"user": user, "item": item, "new_user": user % 5 == 0, "new_item": item < 60}


def ranked(seen: Scored, strength: Tensor, g: Generator) -> Scored:
    """A scorer: each row's rank is about 30 / strength of its user, [users]."""
    n = len(seen["user"])
    above = (torch.rand(n, generator=g) * 60 / strength[seen["user"]]).int()
    return {**seen, "above": above, "equal": torch.zeros(n, dtype=torch.int32)}


def clicked(seen: Scored, label: Tensor, logit: Tensor) -> Scored:
    """A predictor of clicks by its logits [n]."""
    return {**seen, "label": label, "prediction": torch.sigmoid(logit).float()}


def race(seed: int, gains: dict[str, float], nights: int = 10, n: int = 800, users: int = 150) -> list[Evidence]:
    """Nights on which each challenger is `gains[name]` times as strong as what served, in the mean over users.

    Each scorer is strong for some users and weak for others, and stays so from night to night: rows of one user are
    alike, the thing that an interval must not overlook.
    """
    g = torch.Generator().manual_seed(seed)
    tastes = {name: torch.exp(0.7 * torch.randn(users, generator=g)) for name in ("served", *gains)}
    found = []
    for period in range(nights):
        seen = rows(n, users, g)
        served = ranked(seen, tastes["served"], g)
        others = {name: ranked(seen, tastes[name] * gain, g) for name, gain in gains.items()}
        found.append(Evidence(100 * seed + period, served, others))
    return found


def replay(rule: Gate, family: str, incumbent: str | None, nights: Sequence[Evidence]) -> Decision:
    """The decision of the newest night, after one decision a night; the champion stays, whatever they are."""
    window = max(rule.evidence_nights, 2)
    decision = decide(rule, family, incumbent, nights[:1])
    for newest in range(2, len(nights) + 1):
        decision = decide(rule, family, incumbent, nights[max(newest - window, 0) : newest], decision.evidence)
    return decision
