"""The result of a validation: passed, warned, blocked or overridden, with reasons and a table that people can read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from nightloop.tasks.plan.plan import Plan, canonical_json
from nightloop.tasks.validation.period_checks import Check

LONGEST = 500  # characters of a reason
MOST = 40  # reasons kept


@dataclass(frozen=True)
class BrokenRule:
    """One reason why rows are in quarantine: how many, and the first of them as (arrival, value)."""

    code: str
    allowed: str  # what the rule is, for people
    rows: int
    examples: tuple[tuple[int, str | None], ...]

    @property
    def words(self) -> str:
        """A sentence with examples."""
        shown = [f"row {arrival}" if value is None else f"row {arrival}: {value!r}" for arrival, value in self.examples]
        return f"{self.code}: {self.rows:,} rows put aside (allowed is {self.allowed}), such as {', '.join(shown)}"


@dataclass(frozen=True)
class Validation:
    """What a night records: the verdict, its reasons, the statistics that later nights use, and the whole table."""

    verdict: Literal["passed", "warned", "blocked", "overridden"]
    reasons: tuple[str, ...]
    statistics: Mapping[str, float]
    document: bytes  # JSON: checks, rules, the Great Expectations results


def judge(
    plan: Plan,
    broken: Sequence[BrokenRule],
    checks: Sequence[Check],
    results: Mapping[str, Mapping[str, Any]],
    statistics: Mapping[str, float],
    accepted: str | None,
) -> Validation:
    """Put everything together. A failed check counts by its severity; NaN and an empty configuration always block."""
    failed = [check for check in checks if check.name in results and not results[check.name]["success"]]
    stopping = [check for check in failed if check.severity == "block" or math.isnan(check.observed)]
    reasons = [f"{'stops the night' if check in stopping else 'warning'}: {check.words}" for check in failed]
    unchecked = all(severity == "off" for severity in plan.expectations.severities)
    if unchecked:
        reasons.insert(0, "stops the night: every check is off, so this period is not validated; configure a check")
    reasons += [rule.words for rule in sorted(broken, key=lambda rule: (-rule.rows, rule.code))]
    verdict: Literal["passed", "warned", "blocked", "overridden"] = "warned" if failed else "passed"
    if stopping or unchecked:
        verdict = "blocked" if accepted is None else "overridden"
        reasons = reasons if accepted is None else [f"accepted by an operator: {accepted}", *reasons]
    shortened = tuple(r if len(r) <= LONGEST else f"{r[: LONGEST - 1]}…" for r in reasons[:MOST])
    document = {
        "verdict": verdict,
        "reasons": list(shortened),
        "checks": [_row(check, results.get(check.name), check in stopping) for check in checks],
        "rules": [_rule(rule) for rule in broken],
        "great_expectations": [_plain(results[check.name]) for check in checks if check.name in results],
    }
    return Validation(verdict, shortened, dict(statistics), canonical_json(document))


def _row(check: Check, result: Mapping[str, Any] | None, stops: bool) -> dict[str, JsonValue]:
    verdict = "not judged" if result is None else "passed" if result["success"] else "blocked" if stops else "warned"
    return {
        "check": check.name,
        "severity": check.severity,
        "observed": _finite(check.observed) if check.is_judged else None,
        "least": _finite(check.low),
        "most": _finite(check.high),
        "verdict": verdict,
        "note": check.note or ("" if verdict == "passed" else check.example),
    }


def _rule(rule: BrokenRule) -> dict[str, JsonValue]:
    examples: list[JsonValue] = [{"arrival": arrival, "value": value} for arrival, value in rule.examples]
    return {"rule": rule.code, "allowed": rule.allowed, "rows": rule.rows, "examples": examples}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(result: Any) -> JsonValue:
    """A Great Expectations result for canonical JSON: NaN and infinities become null."""
    if isinstance(result, Mapping):
        plain = {str(key): _plain(value) for key, value in result.items() if key not in ("batch_id", "id")}
        return plain
    if isinstance(result, list | tuple):
        return [_plain(value) for value in result]
    if isinstance(result, float):
        return _finite(result)
    return result if isinstance(result, str | int | bool) or result is None else str(result)
