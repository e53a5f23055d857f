"""Validations: a version of a period is checked against the plan's expectations once, and the outcome is stored.

The quarantined rows are part of the key: if the lake's catalog was restored to an earlier time, validation runs again
and quarantines them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from nightloop.tasks.data.clean_rows import clean_digest
from nightloop.tasks.lake.ingest import rules_digest
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.plan import Plan, canonical_json
from nightloop.tasks.record import step_cache
from nightloop.tasks.record.manifest import PeriodValidation
from nightloop.tasks.validation.gx import EarlierNights, validate_period

STEP = "validate"
Version = tuple[int, int]  # of which period, and its number
Rows = tuple[str, int, int]  # digest of the clean rows; rows that arrived; rows in quarantine
Earlier = Sequence[tuple[int, str]]  # period and digest of the logs behind the statistics and the vocabulary


@dataclass(frozen=True)
class ValidationOutcome:
    """The outcome of validation for a version of a period, and its counts of rows."""

    validated: PeriodValidation
    digest: str  # of the clean rows
    rows: int  # that are clean
    quarantined: int


def load_validation(
    objects: Objects, warehouse: Warehouse, plan: Plan, version: Version, nights: EarlierNights, earlier: Earlier,
    accepted: str | None,
) -> ValidationOutcome:  # fmt: skip
    """The outcome for a version of a period: the stored one, or a new one."""
    inputs: dict[str, object] = {
        "rules": rules_digest(plan), "version": list(version), "accepted": accepted,
        "earlier": [list(one) for one in earlier],
        "statistics": [_to_texts(one) for one in nights.history],
    }  # fmt: skip
    rows = clean_digest(warehouse, *version)
    if cached := step_cache.cached_result(objects, plan.pipeline, _key(inputs, rows), STEP):
        return _outcome(cached, rows)
    result = validate_period(warehouse, plan, period(plan.periods, version[0]), version[1], nights, accepted)
    blob = blobs.put(objects, result.document)
    record: dict[str, JsonValue] = {
        "verdict": result.verdict, "reasons": list(result.reasons), "blob": blob,
        "statistics": _to_texts(result.statistics),
    }  # fmt: skip
    if result.statistics["clean"] != rows[1] - rows[2]:  # rows were put aside; they are never put back
        rows = clean_digest(warehouse, *version)
    step_cache.store_result(objects, plan.pipeline, _key(inputs, rows), STEP, record)
    return _outcome(record, rows)


def _outcome(record: Mapping[str, JsonValue], rows: Rows) -> ValidationOutcome:
    """The outcome of a record, whose statistics become numbers again."""
    digest, arrived, aside = rows
    return ValidationOutcome(PeriodValidation.model_validate(record), digest, arrived - aside, aside)


def _to_texts(statistics: Mapping[str, float]) -> dict[str, JsonValue]:
    """Numbers as text, which keeps every digit, and NaN and infinity, which JSON does not have."""
    return {name: repr(float(value)) for name, value in statistics.items()}


def _key(inputs: Mapping[str, object], rows: Rows) -> str:
    """The hash of everything that the outcome depends on, the quarantined rows included."""
    return hashlib.sha256(canonical_json({**inputs, "rows": [*rows]})).hexdigest()
