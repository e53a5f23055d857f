"""Checks of a period: each a statistic, what it may be, and its severity; `gx` judges them.

Missing input blocks the night: a period without rows, without a configured check or with a NaN is blocked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nightloop.tasks.plan.expectations import Band, Drift, Expectations, Limit, Severity, Sudden
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.drift import QUANTILES, History, allowed_range, ks, psi, reference_values, with_prefix

TAKEN_AGAIN = (
    "people take items again, and this plan neither ranks nor recommends what a user took before. Set `ranking: {repeats: true}`; or, if "
    "new items alone are to be recommended, raise `most` of `expectations: repeated_items`"
)
CERTAIN = 3.09  # standard deviations: exceeded by chance once in a thousand nights


@dataclass(frozen=True)
class Check:
    """One check: `observed` must be in [low, high]; `note` says why it is not judged, if it is not; `example` is a finding."""

    name: str
    severity: Severity
    observed: float
    low: float = -math.inf
    high: float = math.inf
    note: str = ""
    role: str = ""  # user or item: whose ids explain a failure
    example: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether there is anything to compare with. NaN is always judged, and fails."""
        return not self.note or bool(self.role) or math.isnan(self.observed)

    @property
    def words(self) -> str:
        """What was seen and what is allowed."""
        if math.isnan(self.observed):
            return f"{self.name} is not a number"
        low, high = _number(self.low), _number(self.high)
        span = f"at most {high}" if math.isinf(self.low) else f"at least {low}" if math.isinf(self.high) else ""
        more = f": {self.note or self.example}" if self.note or self.example else ""
        return f"{self.name} is {_number(self.observed)}, allowed is {span or f'{low} to {high}'}{more}"


def _number(value: float) -> str:
    whole = math.isfinite(value) and value == int(value)
    return f"{value:,.0f}" if whole or 1000 <= abs(value) < math.inf else f"{value:.4g}"


def period_checks(plan: Expectations, columns: Columns, tonight: Mapping[str, float], history: History) -> list[Check]:
    """Every check that is not off, most basic first."""
    checks = [
        Check("clean rows", "block", tonight.get("clean", 0.0), low=plan.least_rows),
        _limit("quarantine share", Limit(severity=plan.rows, most=plan.budget), "quarantine_share", tonight),
        _band("volume", plan.volume, "rows", tonight, history),
        _limit("duplicate share", plan.duplicates, "duplicate_share", tonight),
        _limit("share outside the period", plan.outside_period, "outside_share", tonight),
        _limit("share out of order", plan.out_of_order, "out_of_order_share", tonight),
    ]
    if "repeated_share" in tonight:
        name = "share of rows with an item that their user took before"
        checks.append(replace(_limit(name, plan.repeated_items, "repeated_share", tonight), example=TAKEN_AGAIN))
    if columns.label is not None:
        checks.append(_band("label rate", plan.label_rate, "label_rate", tonight, history))
    for name, band, key in (
        ("new user rate", plan.new_users, "new_user_rate"),
        ("new item rate", plan.new_items, "new_item_rate"),
    ):
        if key in tonight or any(key in night for night in history):
            checks.append(_band(name, band, key, tonight, history))
            checks.append(_sudden(f"share of rows with a new {name.split()[1]}", plan.all_new, key, tonight, history))
    checks += [_psi(plan.psi, name, tonight, history) for name in columns.categorical]
    checks += [_ks(plan.ks, name, tonight, history) for name in columns.numeric]
    nothing = not tonight.get("clean")  # then one sentence is enough
    return [c for c in checks if c.severity != "off" and not (nothing and math.isnan(c.observed))]


def _limit(name: str, limit: Limit, key: str, tonight: Mapping[str, float]) -> Check:
    return Check(name, limit.severity, tonight.get(key, math.nan), high=limit.most)


def _band(name: str, band: Band, key: str, tonight: Mapping[str, float], history: History) -> Check:
    observed, span = tonight.get(key, math.nan), allowed_range(band, key, history)
    if span is None:
        passed = sum(key in night for night in history)
        note = f"not judged: {passed} nights passed before, {band.least} are needed"
        return Check(name, band.severity, observed, note=note)
    return Check(name, band.severity, observed, *span)


def _sudden(name: str, sudden: Sudden, key: str, tonight: Mapping[str, float], history: History) -> Check:
    """Judged if the night before knew most of its ids: then not all can be new, unless they are written in another way."""
    observed, before = tonight.get(key, 0.0), history[-1].get(key) if history else None
    if before is None or before > sudden.before:
        how = "no night passed before" if before is None else f"it was {_number(before)} in the night before"
        return Check(name, sudden.severity, observed, note=f"not judged: {how}")
    return Check(name, sudden.severity, observed, high=sudden.most, role=key.split("_")[1])


def _psi(drift: Drift, column: str, tonight: Mapping[str, float], history: History) -> Check:
    """PSI between two samples of one distribution is about (1/n + 1/m) chi-square(B - 1) (Yurdakul 2018, chapter 3)."""
    name, prefix = f"PSI of {column}", f"category/{column}/"
    before = reference_values(drift, prefix, history)
    now = with_prefix(prefix, tonight)
    if not before:
        return _not_judged(name, drift)
    freedom = max(1, len({*now, *(key for night in before for key in night)}) - 1)
    bend = 2.0 / (9.0 * freedom)  # Wilson and Hilferty 1931: quantile of chi-square
    chance = freedom * (1.0 - bend + CERTAIN * math.sqrt(bend)) ** 3 * _inverse_rows(drift, tonight, history)
    return Check(name, drift.severity, psi(now, before), high=max(drift.most, chance))


def _ks(drift: Drift, column: str, tonight: Mapping[str, float], history: History) -> Check:
    """KS between two samples exceeds 1.95 sqrt(1/n + 1/m) once in a thousand nights (Smirnov 1948)."""
    name, prefix = f"KS of {column}", f"number/{column}/"
    before = reference_values(drift, prefix, history)
    now = with_prefix(prefix, tonight)
    if not before:
        return _not_judged(name, drift)
    chance = 1.95 * math.sqrt(_inverse_rows(drift, tonight, history)) + 1.0 / (QUANTILES - 1)
    return Check(name, drift.severity, ks(now, before), high=max(drift.most, chance))


def _inverse_rows(drift: Drift, tonight: Mapping[str, float], history: History) -> float:
    before = sum(night.get("clean", 0.0) for night in history[-drift.nights :])
    return 1.0 / max(tonight.get("clean", 0.0), 1.0) + 1.0 / max(before, 1.0)


def _not_judged(name: str, drift: Drift) -> Check:
    return Check(name, drift.severity, 0.0, note=f"not judged: {drift.least} passed nights are needed")
