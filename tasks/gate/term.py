"""Term: the time since the strategy that serves, or what the gate compares by, last changed. Evidence is added night by night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nightloop.tasks.gate.night_gain import NightGain
from nightloop.tasks.gate.sequential_test import (
    RESERVE,
    YEAR,
    common_variance,
    log_evidence,
    log_needed,
    remember,
    spending,
)
from nightloop.tasks.record.manifest import RivalEvidence, TermEvidence

FARTHEST = 365  # nights for which a forecast is made
HIGHEST = 1e12  # evidence that is written as a number; more is written as this


@dataclass(frozen=True)
class Conditions:
    """What a term's evidence is about. If any of it changes, a new term begins.

    Parameters
    ----------
    champion : str or None
        The strategy that serves; None: none does.
    metric : str
        The gate's metric.
    min_gain : float
        The plan's `gate.min_gain`.
    """

    champion: str | None
    metric: str
    min_gain: float


class RivalStanding(NamedTuple):
    """A rival's e-value, the e-value that a promotion needs, its nights, and how many more such nights it would take.

    `nights_to_go` is None if it gained nothing, or if more than a year would not do.
    """

    evidence: float
    needed: float
    nights: int
    nights_to_go: int | None


def open_term(
    carried: TermEvidence | None, period: int, now: Conditions, rivals: Sequence[str], older: bool = False
) -> TermEvidence:
    """The evidence of the term that a night belongs to, before the night is added to it.

    A term ends when another strategy serves, when older weights of the same one serve, and when the metric or the gain
    that is asked for changes. What it says about the variance between nights is remembered. The first champion ends no
    term, since nothing served before it.

    Parameters
    ----------
    carried : TermEvidence or None
        Of the night before; None: there is none.
    period : int
        Index of the night's period.
    now : Conditions
        Of the night.
    rivals : sequence of str
        The plan's strategies other than the champion. Those that are there when a term begins share 1 - `RESERVE` of its
        probability equally; the i-th that joins later has `RESERVE` times 6 / (pi^2 i^2).
    older : bool, default False
        Older weights of the champion's strategy serve than the night before.

    Returns
    -------
    TermEvidence
        With an entry for each rival.

    Examples
    --------
    Two rivals are there at the start, and one joins.

    >>> from nightloop.tasks.gate.term import Conditions, open_term
    >>> now = Conditions("FineTune", "ndcg@20", 0.0)
    >>> term = open_term(open_term(None, 8, now, ["SML", "ASMG"]), 9, now, ["SML", "ASMG", "ALS"])
    >>> {name: round(rival.share, 3) for name, rival in term.rivals.items()}
    {'SML': 0.3, 'ASMG': 0.3, 'ALS': 0.243}
    """
    conditions = {"champion": now.champion, "metric": now.metric, "min_gain": now.min_gain}
    if carried is None:
        term = TermEvidence.model_validate(conditions | {"initial": len(rivals)})
    elif older or any(getattr(carried, name) != value for name, value in conditions.items()):
        nights, squares = _variance_so_far(carried)
        ended = (*carried.ended, period) if carried.champion is not None else carried.ended
        known = {"ended": ended, "prior_nights": nights, "prior_squares": squares}
        term = TermEvidence.model_validate(conditions | known | {"initial": len(rivals)})
    else:
        term = carried
    entries = dict(term.rivals)
    nights, squares = _variance_so_far(term)
    for name in rivals:
        if name not in entries:
            joined = len(entries) - term.initial + 1  # 1 and more: the first, second, ... that joins later
            share = RESERVE * float(spending(joined)) if joined > 0 else (1 - RESERVE) / term.initial
            entries[name] = RivalEvidence(share=share, prior_nights=nights, prior_squares=squares)
    recent = tuple(end for end in term.ended if end > period - YEAR)
    return term.model_copy(update={"rivals": entries, "ended": recent})


def add_gains(term: TermEvidence, gains: Mapping[str, NightGain | None]) -> TermEvidence:
    """The evidence with one night more. A rival without a gain that night keeps what it has.

    Examples
    --------
    >>> from nightloop.tasks.gate.night_gain import NightGain
    >>> from nightloop.tasks.gate.term import Conditions, add_gains, open_term
    >>> term = open_term(None, 8, Conditions("FineTune", "ndcg@20", 0.0), ["SML"])
    >>> for _ in range(3):
    ...     term = add_gains(term, {"SML": NightGain(errors=1.5, overlap=0.0)})
    >>> term.rivals["SML"].nights, term.rivals["SML"].total
    (3, 4.5)
    """
    entries = {name: _add_gain(rival, gains.get(name)) for name, rival in term.rivals.items()}
    return term.model_copy(update={"rivals": entries})


def _add_gain(rival: RivalEvidence, gain: NightGain | None) -> RivalEvidence:
    if gain is None:
        return rival
    added = {
        "nights": rival.nights + 1,
        "total": rival.total + gain.errors,
        "squares": rival.squares + gain.errors**2,
    }
    if gain.overlap is not None and rival.nights:
        added |= {"overlap": rival.overlap + gain.overlap, "overlaps": rival.overlaps + 1}
    return rival.model_copy(update=added)


def standing(term: TermEvidence, name: str, alpha: float) -> RivalStanding:
    """Where a rival stands, if any false promotion in a year may have probability `alpha`.

    Parameters
    ----------
    term : TermEvidence
        The newest night included.
    name : str
        The rival.
    alpha : float
        Of the plan's gate.

    Returns
    -------
    RivalStanding
        It is promoted if `evidence` is at least `needed`.

    Examples
    --------
    >>> from nightloop.tasks.gate.night_gain import NightGain
    >>> from nightloop.tasks.gate.term import Conditions, add_gains, open_term, standing
    >>> term = open_term(None, 8, Conditions("FineTune", "ndcg@20", 0.0), ["SML"])
    >>> for errors in (3.0, 1.0, 2.0, 2.5):
    ...     term = add_gains(term, {"SML": NightGain(errors, overlap=0.0)})
    >>> now = standing(term, "SML", alpha=0.05)
    >>> print(round(now.evidence, 1), round(now.needed), now.nights, now.nights_to_go)
    11.6 55 4 2
    """
    rival = term.rivals[name]
    correlation = rival.overlap / rival.overlaps if rival.overlaps else 0.0
    prior = rival.prior_nights, rival.prior_squares
    more = np.arange(FARTHEST + 1)
    growth = (rival.nights + more) / max(rival.nights, 1)
    nights, total, squares = rival.nights * growth, rival.total * growth, rival.squares * growth
    logs = log_evidence(nights, total, squares, *prior, common_variance(correlation, nights, total, squares, *prior))
    needed = float(log_needed(alpha, 1 + len(term.ended), rival.share))
    enough = np.flatnonzero(logs >= needed)
    to_go = int(enough[0]) if len(enough) and rival.nights else None
    return RivalStanding(min(float(np.exp(min(logs[0], 30.0))), HIGHEST), float(np.exp(needed)), rival.nights, to_go)


def _variance_so_far(term: TermEvidence) -> tuple[float, float]:
    entries = list(term.rivals.values())
    nights, total, squares = ([getattr(r, name) for r in entries] for name in ("nights", "total", "squares"))
    known, spread = remember(term.prior_nights, term.prior_squares, nights, total, squares)
    return float(known), float(spread)
