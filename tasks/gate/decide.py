"""Decide: whether a challenger may serve. Paired evidence gives a verdict with reasons; by default nothing is promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import JsonValue

from nightloop.tasks.gate.bootstrap import FEWEST, Interval, Resamples, interval, resample
from nightloop.tasks.gate.evidence import Evidence, Pool, metric_of, pool_nights
from nightloop.tasks.gate.guardrails import (
    GuardrailFindings,
    check_calibration,
    check_entropy,
    check_slices,
    merge_findings,
)
from nightloop.tasks.gate.night_gain import NightGain, night_gain
from nightloop.tasks.gate.number_words import bound, figures, finite, share, span
from nightloop.tasks.gate.term import Conditions, RivalStanding, add_gains, open_term, standing
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Gate
from nightloop.tasks.record.manifest import StrategyVerdict, TermEvidence
from nightloop.tasks.record.outcomes import Decision, Verdict


@dataclass(frozen=True)
class Case:
    """One challenger, and by what it is judged."""

    name: str
    metric: str
    refresh: bool  # the newer weights of the strategy that serves already
    alpha: float  # chance of a mistake of each bound that is shown
    standing: RivalStanding | None  # its evidence in this term; None: it is judged by the interval of the last nights


def decide(
    rule: Gate,
    family: str,
    incumbent: str | None,
    nights: Sequence[Evidence],
    carried: TermEvidence | None = None,
    rolled_back: bool = False,
) -> Decision:
    """Judge every challenger of the newest night, and carry the evidence to the next one.

    A challenger of another strategy is promoted as soon as the evidence since the incumbent began to serve is enough: the
    probability of any false promotion in 365 nights is at most `rule.alpha`, however often one looks. A gain counts if it
    is above `rule.min_gain`. The incumbent's own newer weights are promoted unless the last `rule.evidence_nights` nights
    say that they are surely worse: that changes no strategy. While nothing serves, a challenger is promoted if those
    nights say that it is surely better than the reference. None may fail a guardrail. If nights, users or numbers are
    missing, nothing is promoted. The winner is the challenger with the largest gain, unless the incumbent's newer weights
    gain as much.

    Parameters
    ----------
    rule : Gate
        The plan's `gate`.
    family : {"ranking", "ctr"}
        The plan's family.
    incumbent : str or None
        The strategy that serves; None: nothing serves yet.
    nights : sequence of Evidence
        Oldest first. Only the newest is added to the evidence; those before it are for intervals and guardrails.
    carried : TermEvidence or None, default None
        The `evidence` of the decision of the night before; None: it begins tonight.
    rolled_back : bool, default False
        Older weights of the incumbent serve than the night before.

    Returns
    -------
    Decision
        With a verdict and reasons for each challenger.

    Raises
    ------
    PlanError
        `rule.metric` does not fit the family.

    Examples
    --------
    What serves has the item of every user second. SML has it first for two thirds of them, on five nights.

    >>> import torch
    >>> from nightloop.tasks.gate.decide import decide
    >>> from nightloop.tasks.gate.evidence import Evidence
    >>> from nightloop.tasks.plan.plan import Gate
    >>> no, evidence = torch.zeros(60, dtype=torch.bool), None
    >>> for period in range(5):
    ...     user = torch.arange(60) + 60 * period
    ...     rows = {"user": user, "item": user, "new_user": no, "new_item": no, "equal": 0 * user}
    ...     above = torch.tensor([0, 0, 1]).repeat(20)
    ...     night = Evidence(period, {**rows, "above": 0 * user + 1}, {"SML": {**rows, "above": above}})
    ...     decision = decide(Gate(evidence_nights=1), "ranking", "FineTune", [night], evidence)
    ...     evidence = decision.evidence
    >>> print(decision.winner, round(decision.judged["SML"].numbers["effect"], 3))
    SML 0.246
    """
    metric, latest = metric_of(rule, family), list(nights)[-rule.evidence_nights :]
    if not latest:
        return Decision({}, "insufficient_evidence", None, carried)
    names = list(latest[-1].challengers)
    rivals = [name for name in names if name != incumbent]
    term = open_term(carried, latest[-1].period, Conditions(incumbent, metric, rule.min_gain), rivals, rolled_back)
    term = add_gains(term, {name: _gain_of(nights, name, metric, rule.min_gain) for name in rivals})
    judged = {}
    for name in names:
        place = None if incumbent is None or name == incumbent else standing(term, name, rule.alpha)
        alpha = rule.alpha / max(len(rivals), 1) if incumbent is None else rule.alpha
        judged[name] = _judge(rule, Case(name, metric, name == incumbent, alpha, place), latest)
    winner = winner_of(judged, incumbent)
    return Decision(judged, "promote" if winner else _combine_verdicts(judged), winner, term)


def _gain_of(nights: Sequence[Evidence], name: str, metric: str, min_gain: float) -> NightGain | None:
    try:
        tonight, before = (
            pool_nights([night], name, metric) for night in (nights[-1], nights[-2] if len(nights) > 1 else nights[-1])
        )
    except DataError:
        return None  # the verdict says why
    return night_gain(tonight, before if len(nights) > 1 else None, min_gain) if tonight else None


def _judge(rule: Gate, case: Case, latest: Sequence[Evidence]) -> StrategyVerdict:
    try:
        pool = pool_nights(latest, case.name, case.metric)
    except ValueError as error:
        return _no_verdict(f"Its scores cannot be compared: {error}.")
    if pool is None:
        return _no_verdict("There is no night on which both it and something that served were scored.")
    needed = 1 if case.refresh else rule.evidence_nights
    if len(pool.periods) < needed:
        return _no_verdict(f"There is evidence from {span(pool.names)}; gate.evidence_nights asks for {needed}.")
    resamples = resample(pool.user, pool.draw, rule.resamples, case.alpha, f"gate/{latest[-1].period}")
    every = torch.ones(len(pool.gain), dtype=torch.bool)
    plain = interval(pool.gain, every, resamples, case.alpha)
    margin = interval(pool.gain - rule.min_gain * pool.served, every, resamples, case.alpha)
    if plain is None or margin is None:
        return _no_verdict(f"There is evidence from only {len(resamples.group)} users; at least {FEWEST} are needed.")
    guardrails = _check_guardrails(pool, resamples, rule, case)
    verdict, why = _choose_verdict(rule, case, plain, margin, guardrails)
    return _describe_verdict(verdict, why, case, pool, plain, guardrails)


def _check_guardrails(pool: Pool, resamples: Resamples, rule: Gate, case: Case) -> GuardrailFindings:
    by_slice = check_slices(pool, resamples, rule, case.alpha)
    findings = [replace(by_slice, numbers={"slices": by_slice.numbers})]
    if len(pool.label):
        findings.append(check_entropy(pool, resamples, case.alpha, case.refresh))
        findings.append(check_calibration(pool, resamples, rule, case.alpha, case.refresh))
    return merge_findings(findings)


def _choose_verdict(
    rule: Gate, case: Case, plain: Interval, margin: Interval, guardrails: GuardrailFindings
) -> tuple[Verdict, tuple[str, ...]]:
    if plain.high < 0:
        return "reject", ("It is surely worse than what served.", *guardrails.failed)
    if guardrails.failed:
        return "reject", guardrails.failed
    if guardrails.doubts:
        return "hold", guardrails.doubts
    if case.refresh:
        return "promote", (
            "It is the newer weights of the strategy that serves, and nothing says that they are worse.",
        )
    if plain.low == plain.high == 0:
        return "hold", ("It did exactly as well as what served, row by row.",)
    more = f" by more than the {share(rule.min_gain)} that gate.min_gain asks for" if rule.min_gain else ""
    if case.standing is not None:
        enough = case.standing.evidence >= case.standing.needed and case.standing.nights >= rule.evidence_nights
        better = f"It is surely better than what served{more}. " if enough else ""
        return "promote" if enough else "hold", (better + describe_standing(case.standing, rule, more),)
    if margin.low > 0:
        return "promote", (f"It is surely better than the reference{more}, and nothing serves yet.",)
    return "hold", (f"Nothing serves yet, and it is not surely better than the reference{more}.",)


def describe_standing(now: RivalStanding, rule: Gate, more: str) -> str:
    """The evidence so far, and how many more such nights it would take."""
    span_so_far = f"{now.nights} night{'' if now.nights == 1 else 's'}"
    measured = f"The evidence is {now.evidence:.3g} after {span_so_far}; {now.needed:.3g} is needed."
    if now.evidence >= now.needed:
        short = rule.evidence_nights - now.nights
        return f"{measured} gate.evidence_nights asks for {short} more." if short > 0 else measured
    if now.nights_to_go is None:
        return f"{measured} At the gain so far a year would not be enough{more and ' to show a gain' + more}."
    return f"{measured} About {now.nights_to_go} more such nights would be enough."


def _describe_verdict(
    verdict: Verdict, why: tuple[str, ...], case: Case, pool: Pool, plain: Interval, guardrails: GuardrailFindings
) -> StrategyVerdict:
    served, sign = float(pool.served.mean()), -1 if case.metric == "logloss" else 1
    challenger = served + sign * plain.mean
    relative = plain.mean / served if served else None
    verb = "gained" if plain.mean >= 0 else "lost"
    sentence = (
        f"It {verb} {abs(plain.mean):.4g} {case.metric} ({served:.4f} served, {challenger:.4f} now: {share(relative)} "
        f"{'better' if plain.mean >= 0 else 'worse'}); interval {bound(plain.low)} to {bound(plain.high)}, "
        f"each end wrong with chance {case.alpha:.3g} on a single night."
    )
    rows = f"Interval from {plain.rows:,} rows of {plain.users:,} users over {span(pool.names)}."
    numbers = {**figures(plain, served), "challenger": finite(challenger), **guardrails.numbers}
    case_numbers: dict[str, JsonValue] = {
        "metric": case.metric,
        "nights": len(pool.periods),
        "alpha": finite(case.alpha),
        "refresh": case.refresh,
    }
    if case.standing is not None:
        now = case.standing
        case_numbers |= {
            "evidence": finite(now.evidence),
            "needed": finite(now.needed),
            "evidence_nights": now.nights,
            "nights_to_go": now.nights_to_go,
        }
    return StrategyVerdict(verdict=verdict, reasons=(*why, sentence, rows), numbers={**case_numbers, **numbers})


def _no_verdict(reason: str) -> StrategyVerdict:
    return StrategyVerdict(verdict="insufficient_evidence", reasons=(reason,), numbers={})


def winner_of(judged: Mapping[str, StrategyVerdict], incumbent: str | None) -> str | None:
    """The promoted challenger with the largest gain; the incumbent if it gained as much."""
    gains = {name: float(str(j.numbers["effect"])) for name, j in judged.items() if j.verdict == "promote"}
    return max(gains, key=lambda name: (gains[name], name == incumbent), default=None)


def reject_winner(
    decision: Decision, name: str, why: str, incumbent: str | None, verdict: Verdict = "reject"
) -> Decision:
    """The decision if `name` may not serve after all: the next best that may be promoted wins, if there is one."""
    refused = StrategyVerdict(
        verdict=verdict, reasons=(why, *decision.judged[name].reasons), numbers=decision.judged[name].numbers
    )
    judged = {**decision.judged, name: refused}
    winner = winner_of(judged, incumbent)
    return replace(decision, judged=judged, verdict="promote" if winner else _combine_verdicts(judged), winner=winner)


def _combine_verdicts(judged: Mapping[str, StrategyVerdict]) -> Verdict:
    """The best of the verdicts other than `promote`, which needs a winner."""
    verdicts = {j.verdict for j in judged.values()}
    order: tuple[Verdict, ...] = ("hold", "reject", "insufficient_evidence")
    return next((verdict for verdict in order if verdict in verdicts), "insufficient_evidence")
