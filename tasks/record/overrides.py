"""Overrides: an operator's decision about one version of a period's logs, and its reason. It is final."""

from __future__ import annotations

from typing import Literal

from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.sealed_record import read_record, seal_record
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.frozen import Frozen

Decided = tuple[int, int, str]  # period, version and digest of a landing; the digest, since a new catalog counts from 1


class Override(Frozen):
    """`accept`: learn from these logs although validation blocks them. `skip`: skip the period."""

    kind: Literal["accept", "skip"]
    by: str
    reason: str
    when: str  # ISO 8601, as passed in


def record_override(objects: Objects, pipeline: str, landing: Decided, decided: Override, name: str = "") -> Override:
    """Record a decision and return it. Recording the same one again changes nothing. `name`: the period's, for people.

    Raises PlanError without a reason or a name, and DataError if another decision about this version is recorded. If that
    was wrong, collect the period again for a new version.
    """
    if not decided.reason.strip() or not decided.by.strip():
        raise PlanError(
            "an override needs a reason and the name of the person who decided; both are kept in the record"
        )
    if objects.create(_key(pipeline, landing), seal_record(decided)):
        return decided
    stands, name = read_override(objects, pipeline, landing), name or f"period {landing[0]}"
    if stands is None or (stands.kind, stands.reason, stands.by) != (decided.kind, decided.reason, decided.by):
        recorded = f"{stands.kind} by {stands.by}, {stands.when}: {stands.reason}" if stands else "removed meanwhile"
        raise DataError(
            f"{name} of {pipeline}: version {landing[1]} of its rows was decided already ({recorded[:300]}), and that decision is final "
            "for these rows. Nothing was changed. If it was wrong, deliver corrected rows and run the night again: they are a new version"
        )
    return stands


def read_override(objects: Objects, pipeline: str, landing: Decided) -> Override | None:
    """The decision about this landing, or None. Raises DataError if its record was changed."""
    return read_record(objects, _key(pipeline, landing), Override, "an override")


def _key(pipeline: str, landing: Decided) -> str:
    index, version, digest = landing
    if not (0 <= index < 10**6 and 0 <= version < 10**4):
        raise DataError(f"period {index}, version {version}: a period is 0 to 999999, a version 0 to 9999")
    return f"pipelines/{checked_pipeline(pipeline)}/overrides/{index:06d}-{version:04d}-{digest[:16]}.json"
