"""Guardrails: what a challenger may not do, however good its mean is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from pydantic import JsonValue

from nightloop.tasks.evaluation.ctr_metrics import logloss, normalised_entropy
from nightloop.tasks.gate.bootstrap import Resamples, interval
from nightloop.tasks.gate.evidence import Pool
from nightloop.tasks.gate.numbers import figures, finite, share
from nightloop.tasks.plan.plan import Gate

PEOPLE = {"new_user": "new users", "old_user": "known users", "new_item": "new items", "old_item": "known items"}


@dataclass(frozen=True)
class Guarded:
    """What the guardrails found: `failed` are reasons to reject, `doubts` reasons to hold."""

    failed: tuple[str, ...]
    doubts: tuple[str, ...]
    numbers: dict[str, JsonValue]


def slices(pool: Pool, drawn: Resamples, rule: Gate, alpha: float) -> Guarded:
    """Fails where new or known users or items surely lose more than `rule.max_slice_loss` of what served gave them.

    A loss is sure when the upper bound of gain + slice_loss x served lies below zero, row by row, with chance `alpha`
    of a mistake. Slices of too few users are not judged, and `numbers` says so with a null.
    """
    failed, numbers = [], dict[str, JsonValue]()
    for name, rows in pool.slices.items():
        plain = interval(pool.gain, rows, drawn, alpha)
        slack = interval(pool.gain + rule.max_slice_loss * pool.served, rows, drawn, alpha)
        if plain is None or slack is None:
            numbers[name] = None
            continue
        served = float(pool.served[rows].mean())
        numbers[name] = figures(plain, served)
        if slack.high < 0:
            lost = share(plain.mean / served if served else None)
            failed.append(
                f"For {PEOPLE[name]} it is worse by {lost} ({plain.rows:,} rows of {plain.users:,} users), "
                f"surely more than the {share(rule.max_slice_loss)} that gate.max_slice_loss allows."
            )
    return Guarded(tuple(failed), (), numbers)


def calibration(pool: Pool, drawn: Resamples, rule: Gate, alpha: float, refresh: bool) -> Guarded:
    """Fails where predicted over observed clicks surely leaves `rule.calibration`; doubts where it only seems to.

    A refresh may be outside where it is no further from 1 than what serves: keeping the old weights would not help.
    """
    observed, predicted, before = (float(column.sum()) for column in (pool.label, pool.predicted, pool.before))
    if not observed:
        return Guarded((), ("No click was observed, so the calibration cannot be told.",), {"calibration": None})
    ratio, was = predicted / observed, before / observed
    numbers: dict[str, JsonValue] = {"calibration": finite(ratio), "calibration_served": finite(was)}
    low, high = rule.calibration
    closer = bool(ratio) and bool(was) and abs(log(ratio)) <= abs(log(was))
    if low <= ratio <= high or (refresh and closer):
        return Guarded((), (), numbers)
    beyond = pool.predicted - high * pool.label if ratio > high else low * pool.label - pool.predicted
    sure = interval(beyond, pool.label >= 0, drawn, alpha)
    said = f"It predicts {ratio:.2f} times the observed clicks ({was:.2f} for what served)"
    allowed = f"gate.calibration allows {low:g} to {high:g}"
    if sure is not None and sure.low > 0:
        return Guarded((f"{said}; {allowed}.",), (), numbers)
    return Guarded((), (f"{said}; {allowed}, and the evidence is too thin to be sure.",), numbers)


def informative(pool: Pool, drawn: Resamples, alpha: float, refresh: bool) -> Guarded:
    """Fails where the log loss is surely no lower than that of the mean click rate, said to everybody; doubts where it
    only seems so. A refresh may be as bad as what serves: keeping the old weights would not help.

    The normalised entropy is the one over the other (He et al. 2014); where every label is the same there is none.
    """
    if not 0 < float(pool.label.mean()) < 1:
        return Guarded((), (), {"ne": None, "ne_served": None})
    mine, was = (normalised_entropy(pool.label, each) for each in (pool.predicted, pool.before))
    numbers: dict[str, JsonValue] = {"ne": finite(mine), "ne_served": finite(was)}
    if mine < 1 or (refresh and mine <= was):
        return Guarded((), (), numbers)
    said = f"It predicts no better than the mean click rate (normalised entropy {mine:.3f}, {was:.3f} for what served)"
    losses = torch.from_numpy(logloss(pool.label, pool.predicted))
    sure = interval(losses - losses.mean() / mine, pool.label >= 0, drawn, alpha)
    if sure is not None and sure.low > 0:
        return Guarded((f"{said}.",), (), numbers)
    return Guarded((), (f"{said}, and the evidence is too thin to be sure.",), numbers)


def together(found: Sequence[Guarded]) -> Guarded:
    """All findings as one; the numbers of later ones are added to the earlier."""
    numbers = {name: value for one in found for name, value in one.numbers.items()}
    return Guarded(
        tuple(f for one in found for f in one.failed), tuple(d for one in found for d in one.doubts), numbers
    )
