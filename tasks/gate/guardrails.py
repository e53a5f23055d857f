"""Guardrails: limits that a challenger must keep, whatever its mean gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from pydantic import JsonValue

from nightloop.tasks.evaluation.ctr_metrics import logloss, normalised_entropy
from nightloop.tasks.evaluation.summary import SLICES
from nightloop.tasks.gate.bootstrap import Resamples, interval
from nightloop.tasks.gate.evidence import Pool
from nightloop.tasks.gate.number_words import figures, finite, share
from nightloop.tasks.plan.plan import Gate

PEOPLE = {"new_user": "new users", "old_user": "known users", "new_item": "new items", "old_item": "known items"}


@dataclass(frozen=True)
class GuardrailFindings:
    """What the guardrails found.

    Parameters
    ----------
    failed : tuple of str
        Reasons to reject.
    doubts : tuple of str
        Reasons to hold.
    numbers : dict of str to JSON value
        What was measured, for the manifest.
    """

    failed: tuple[str, ...]
    doubts: tuple[str, ...]
    numbers: dict[str, JsonValue]


def check_slices(pool: Pool, resamples: Resamples, rule: Gate, alpha: float) -> GuardrailFindings:
    """Fails if new or known users or items surely lose more than `rule.max_slice_loss` of what served gave them.

    The most frequent values of the plan's `gate.slices` are guarded in the same way. A loss is sure if the upper bound of
    gain + max_slice_loss x served, row by row, is below zero. The values of the plan's slices share the probability of a
    mistake.

    Parameters
    ----------
    pool : Pool
        The paired rows.
    resamples : Resamples
        Resamples of the users of the pool.
    rule : Gate
        The plan's `gate`.
    alpha : float
        Probability of a mistake of each bound.

    Returns
    -------
    GuardrailFindings
        `numbers` by slice; None for a slice of too few users, which is not judged.

    Examples
    --------
    New users lose all that they had. The five known users are too few to be judged.

    >>> import torch
    >>> from nightloop.tasks.gate.bootstrap import resample
    >>> from nightloop.tasks.gate.evidence import Evidence, pool_nights
    >>> from nightloop.tasks.gate.guardrails import check_slices
    >>> from nightloop.tasks.plan.plan import Gate
    >>> user = torch.arange(30)
    >>> rows = {"user": user, "item": user, "new_user": user < 25, "new_item": user < 0, "equal": 0 * user}
    >>> night = Evidence(0, {**rows, "above": 0 * user}, {"SML": {**rows, "above": (user < 25).int()}})
    >>> pool = pool_nights([night], "SML", "recall@1")
    >>> found = check_slices(pool, resample(pool.user, pool.draw, 200, 0.05, "night"), Gate(), alpha=0.05)
    >>> print(found.numbers["new_user"]["relative"], found.numbers["old_user"])
    -1.0 None
    """
    failed, numbers = [], dict[str, JsonValue]()
    own = len(pool.slices) - len(SLICES)
    for name, rows in pool.slices.items():
        chance = alpha if name in SLICES else alpha / own
        plain = interval(pool.gain, rows, resamples, chance)
        slack = interval(pool.gain + rule.max_slice_loss * pool.served, rows, resamples, chance)
        if plain is None or slack is None:
            numbers[name] = None
            continue
        served = float(pool.served[rows].mean())
        numbers[name] = figures(plain, served)
        if slack.high < 0:
            lost = share(plain.mean / served if served else None)
            failed.append(
                f"For {PEOPLE.get(name, f'rows with {name}')} it is worse by {lost} ({plain.rows:,} rows of {plain.users:,} users), "
                f"surely more than the {share(rule.max_slice_loss)} that gate.max_slice_loss allows."
            )
    return GuardrailFindings(tuple(failed), (), numbers)


def check_calibration(pool: Pool, resamples: Resamples, rule: Gate, alpha: float, refresh: bool) -> GuardrailFindings:
    """Fails if predicted divided by observed clicks is surely outside `rule.calibration`; doubts if it is not sure.

    Parameters
    ----------
    pool : Pool
        The paired rows of a click model.
    resamples : Resamples
        Resamples of the users of the pool.
    rule : Gate
        The plan's `gate`.
    alpha : float
        Probability of a mistake.
    refresh : bool
        The challenger is the incumbent's newer weights. They may be outside if they are no further from 1 than what
        serves: keeping the old weights would not help.

    Returns
    -------
    GuardrailFindings
        `numbers` has the `calibration` of the challenger and of what served.

    Examples
    --------
    Half of thirty rows were clicked. What serves predicts 0.5 for each row, the challenger 0.25.

    >>> import torch
    >>> from nightloop.tasks.gate.bootstrap import resample
    >>> from nightloop.tasks.gate.evidence import Evidence, pool_nights
    >>> from nightloop.tasks.gate.guardrails import check_calibration
    >>> from nightloop.tasks.plan.plan import Gate
    >>> user, half = torch.arange(30), torch.full((30,), 0.5)
    >>> rows = {"user": user, "item": user, "new_user": user < 0, "new_item": user < 0, "label": user % 2.0}
    >>> night = Evidence(0, {**rows, "prediction": half}, {"SML": {**rows, "prediction": half / 2}})
    >>> pool = pool_nights([night], "SML", "logloss")
    >>> found = check_calibration(pool, resample(pool.user, pool.draw, 200, 0.05, "night"), Gate(), 0.05, refresh=False)
    >>> print(found.numbers["calibration"], found.numbers["calibration_served"], len(found.failed))
    0.5 1.0 1
    """
    observed, predicted, before = (float(column.sum()) for column in (pool.label, pool.predicted, pool.before))
    if not observed:
        return GuardrailFindings(
            (), ("No click was observed, so the calibration cannot be told.",), {"calibration": None}
        )
    ratio, ratio_served = predicted / observed, before / observed
    numbers: dict[str, JsonValue] = {"calibration": finite(ratio), "calibration_served": finite(ratio_served)}
    low, high = rule.calibration
    closer = bool(ratio) and bool(ratio_served) and abs(log(ratio)) <= abs(log(ratio_served))
    if low <= ratio <= high or (refresh and closer):
        return GuardrailFindings((), (), numbers)
    beyond = pool.predicted - high * pool.label if ratio > high else low * pool.label - pool.predicted
    sure = interval(beyond, pool.label >= 0, resamples, alpha)
    sentence = f"It predicts {ratio:.2f} times the observed clicks ({ratio_served:.2f} for what served)"
    allowed = f"gate.calibration allows {low:g} to {high:g}"
    if sure is not None and sure.low > 0:
        return GuardrailFindings((f"{sentence}; {allowed}.",), (), numbers)
    return GuardrailFindings((), (f"{sentence}; {allowed}, and the evidence is too thin to be sure.",), numbers)


def check_entropy(pool: Pool, resamples: Resamples, alpha: float, refresh: bool) -> GuardrailFindings:
    """Fails if the log loss is surely no lower than that of the mean click rate; doubts if it is not sure.

    The normalised entropy is the first divided by the second; if all labels are equal there is none.

    Parameters
    ----------
    pool : Pool
        The paired rows of a click model.
    resamples : Resamples
        Resamples of the users of the pool.
    alpha : float
        Probability of a mistake.
    refresh : bool
        The challenger is the incumbent's newer weights. They may be as bad as what serves: keeping the old weights
        would not help.

    Returns
    -------
    GuardrailFindings
        `numbers` has the normalised entropy `ne` of the challenger and of what served.

    References
    ----------
    He et al. 2014, Practical lessons from predicting clicks on ads at Facebook.

    Examples
    --------
    Half of thirty rows were clicked, and 0.4 is predicted for each: worse than the click rate.

    >>> import torch
    >>> from nightloop.tasks.gate.bootstrap import resample
    >>> from nightloop.tasks.gate.evidence import Evidence, pool_nights
    >>> from nightloop.tasks.gate.guardrails import check_entropy
    >>> user, half = torch.arange(30), torch.full((30,), 0.5)
    >>> rows = {"user": user, "item": user, "new_user": user < 0, "new_item": user < 0, "label": user % 2.0}
    >>> night = Evidence(0, {**rows, "prediction": half}, {"SML": {**rows, "prediction": 0.8 * half}})
    >>> pool = pool_nights([night], "SML", "logloss")
    >>> found = check_entropy(pool, resample(pool.user, pool.draw, 200, 0.05, "night"), 0.05, refresh=False)
    >>> print(round(found.numbers["ne"], 3), found.numbers["ne_served"])
    1.029 1.0
    """
    if not 0 < float(pool.label.mean()) < 1:
        return GuardrailFindings((), (), {"ne": None, "ne_served": None})
    entropy, entropy_served = (normalised_entropy(pool.label, each) for each in (pool.predicted, pool.before))
    numbers: dict[str, JsonValue] = {"ne": finite(entropy), "ne_served": finite(entropy_served)}
    if entropy < 1 or (refresh and entropy <= entropy_served):
        return GuardrailFindings((), (), numbers)
    sentence = f"It predicts no better than the mean click rate (normalised entropy {entropy:.3f}, {entropy_served:.3f} for what served)"
    losses = torch.from_numpy(logloss(pool.label, pool.predicted))
    sure = interval(losses - losses.mean() / entropy, pool.label >= 0, resamples, alpha)
    if sure is not None and sure.low > 0:
        return GuardrailFindings((f"{sentence}.",), (), numbers)
    return GuardrailFindings((), (f"{sentence}, and the evidence is too thin to be sure.",), numbers)


def merge_findings(findings: Sequence[GuardrailFindings]) -> GuardrailFindings:
    """All findings as one; the numbers of later ones are added to those of earlier ones."""
    numbers = {name: value for finding in findings for name, value in finding.numbers.items()}
    return GuardrailFindings(
        tuple(f for finding in findings for f in finding.failed),
        tuple(d for finding in findings for d in finding.doubts),
        numbers,
    )
