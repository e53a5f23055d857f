"""Decide: whether a challenger may serve. Paired evidence gives a verdict with reasons; by default nothing is promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
from nightloop.tasks.gate.numbers import bound, figures, finite, share, span
from nightloop.tasks.plan.plan import Gate
from nightloop.tasks.record.manifest import StrategyVerdict

Verdict = Literal["promote", "hold", "reject", "insufficient_evidence"]


@dataclass(frozen=True)
class Decision:
    """The verdict on each challenger, the verdict of the night, and who is to serve.

    Parameters
    ----------
    judged : mapping of str to StrategyVerdict
        By challenger: verdict, reasons and numbers.
    verdict : {"promote", "hold", "reject", "insufficient_evidence"}
        Of the night: `promote` if there is a winner.
    winner : str or None
        The challenger that is to serve; None: what serves now.
    """

    judged: Mapping[str, StrategyVerdict]
    verdict: Verdict
    winner: str | None


@dataclass(frozen=True)
class Case:
    """The terms of the comparison of one challenger."""

    name: str
    metric: str
    refresh: bool  # the newer weights of the strategy that serves already
    alpha: float  # chance of a mistake that this comparison may have
    comparisons: int


def decide(rule: Gate, family: str, incumbent: str | None, nights: Sequence[Evidence]) -> Decision:
    """Judge every challenger of the newest night on the last `rule.evidence_nights` nights.

    A challenger of another strategy is promoted if it surely gains more than `rule.min_gain`. The probability that a
    night promotes any of them though none is better is at most `rule.alpha` (Bonferroni). The incumbent's own newer
    weights are promoted unless they are surely worse. None may fail a guardrail. If nights, users or numbers are
    missing, nothing is promoted. The winner is the challenger with the largest gain, unless the incumbent's newer
    weights gain as much.

    Parameters
    ----------
    rule : Gate
        The plan's `gate`.
    family : {"ranking", "ctr"}
        The plan's family.
    incumbent : str or None
        The strategy that serves; None: nothing serves yet.
    nights : sequence of Evidence
        Oldest first.

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
    What serves has the item of thirty users second, SML has it first. NDCG is 1 instead of 1 / log2(3).

    >>> import torch
    >>> from nightloop.tasks.gate.decide import decide
    >>> from nightloop.tasks.gate.evidence import Evidence
    >>> from nightloop.tasks.plan.plan import Gate
    >>> user, no = torch.arange(30), torch.zeros(30, dtype=torch.bool)
    >>> rows = {"user": user, "item": user, "new_user": no, "new_item": no, "equal": 0 * user}
    >>> night = Evidence(0, {**rows, "above": 0 * user + 1}, {"SML": {**rows, "above": 0 * user}})
    >>> decision = decide(Gate(evidence_nights=1), "ranking", "FineTune", [night])
    >>> print(decision.winner, round(decision.judged["SML"].numbers["effect"], 3))
    SML 0.369
    """
    metric, latest = metric_of(rule, family), list(nights)[-rule.evidence_nights :]
    names = list(latest[-1].challengers) if latest else []
    rivals = max(sum(name != incumbent for name in names), 1)
    judged = {}
    for name in names:
        refresh = name == incumbent
        case = Case(name, metric, refresh, rule.alpha if refresh else rule.alpha / rivals, 1 if refresh else rivals)
        judged[name] = _judge(rule, case, latest)
    winner = _winner(judged, incumbent)
    return Decision(judged, "promote" if winner else _combine_verdicts(judged), winner)


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
    if margin.low > 0:
        more = f" by more than the {share(rule.min_gain)} that gate.min_gain asks for" if rule.min_gain else ""
        return "promote", (f"It is surely better than what served{more}.",)
    if plain.low == plain.high == 0:
        return "hold", ("It did exactly as well as what served, row by row.",)
    if plain.low > 0:
        return "hold", (
            f"It is better, but maybe by less than the {share(rule.min_gain)} that gate.min_gain asks for.",
        )
    return "hold", ("It may be better or worse than what served: the interval holds zero.",)


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
        f"each end wrong with chance {case.alpha:.3g}."
    )
    evidence = f"Evidence: {plain.rows:,} rows of {plain.users:,} users over {span(pool.names)}."
    numbers = {**figures(plain, served), "challenger": finite(challenger), **guardrails.numbers}
    case_numbers: dict[str, JsonValue] = {
        "metric": case.metric,
        "nights": len(pool.periods),
        "alpha": finite(case.alpha),
        "comparisons": case.comparisons,
        "refresh": case.refresh,
    }
    return StrategyVerdict(verdict=verdict, reasons=(*why, sentence, evidence), numbers={**case_numbers, **numbers})


def _no_verdict(reason: str) -> StrategyVerdict:
    return StrategyVerdict(verdict="insufficient_evidence", reasons=(reason,), numbers={})


def _winner(judged: Mapping[str, StrategyVerdict], incumbent: str | None) -> str | None:
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
    winner = _winner(judged, incumbent)
    return Decision(judged, "promote" if winner else _combine_verdicts(judged), winner)


def _combine_verdicts(judged: Mapping[str, StrategyVerdict]) -> Verdict:
    """The best of the verdicts other than `promote`, which needs a winner."""
    verdicts = {j.verdict for j in judged.values()}
    order: tuple[Verdict, ...] = ("hold", "reject", "insufficient_evidence")
    return next((verdict for verdict in order if verdict in verdicts), "insufficient_evidence")
