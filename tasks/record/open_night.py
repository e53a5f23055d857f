"""Open a night: validate what landed. The result is the night to run, or its manifest if it is finished or stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.vocabulary import (
    Vocabulary,
    empty_vocabulary,
    grow_vocabulary,
    vocabulary_from_bytes,
    vocabulary_to_bytes,
)
from nightloop.tasks.lake.catalog_marks import catalog_identity
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.backfill_plan import changed_fields, invalidates_checkpoint
from nightloop.tasks.record.champion import champion_after
from nightloop.tasks.record.due import root_period
from nightloop.tasks.record.manifest import Manifest, PeriodLogs, PeriodValidation
from nightloop.tasks.record.night_context import Night, walk_back
from nightloop.tasks.record.outcomes import (
    blocked_night,
    history_statistics,
    publish_manifest,
    same_night,
    skipped_night,
)
from nightloop.tasks.record.overrides import Override, read_override
from nightloop.tasks.record.validations import load_validation
from nightloop.tasks.validation.gx import EarlierNights


@dataclass(frozen=True)
class ValidatedPeriod:
    """The outcome of validation for one period."""

    logs: PeriodLogs
    validated: PeriodValidation
    vocabulary: Vocabulary


def open_night(
    objects: Objects, warehouse: Warehouse, plan: Plan, landings: Sequence[Landing], retry_failed: bool = False
) -> Night | Manifest:
    """The night to run on these landings, or its manifest if there is nothing to run.

    A manifest is returned if the same night is finished already, and if validation stops it or an operator skipped it
    (both are written here). With `retry_failed` a finished night in which a strategy failed is run again. Raises NotReady
    if the predecessor is missing, blocked or damaged, and PlanError if the plan changed so that the chain's checkpoints
    could not have come from it.
    """
    warehouse.last_read.clear()
    at = period(plan.periods, landings[-1].period)
    previous = manifest_store.predecessor(objects, plan.pipeline, at.index, root_period(plan))
    refuse_changed_plan(plan, previous, at.name)
    entries = promotion_log.known_log(objects, plan.pipeline)
    incumbent = champion_after(previous, entries)
    passed = _validate_landings(objects, warehouse, plan, landings, previous)
    night = Night(
        plan=plan, period=at.index, name=at.name, revision=1, previous=previous,
        logs=tuple(p.logs for p in passed), validated=tuple(p.validated for p in passed),
        vocabulary="", champion=incumbent.champion, pinned=incumbent.pinned, entry=entries[-1].number if entries else 0,
        last_act=incumbent.last_act, catalog=catalog_identity(warehouse),
    )  # fmt: skip
    recorded = manifest_store.current_manifest(objects, plan.pipeline, at.index)
    revision = manifest_store.next_revision(objects, plan.pipeline, at.index)
    if revision - 1 != (recorded.revision if recorded else 0):  # one of the two reads was incomplete
        recorded = manifest_store.current_manifest(objects, plan.pipeline, at.index)
    skip = _skip(objects, landings, plan)
    retry = retry_failed and recorded is not None and bool(recorded.failed)
    if recorded and not retry and same_night(recorded, night) and (recorded.outcome == "skipped") == (skip is not None):
        return recorded
    night = replace(night, revision=revision)
    if skip is not None:
        return publish_manifest(objects, skipped_night(_carry_vocabulary(night), skip.reason))
    if any(p.validated.verdict == "blocked" for p in passed):
        return publish_manifest(objects, blocked_night(night))
    return replace(night, vocabulary=blobs.put(objects, vocabulary_to_bytes(passed[-1].vocabulary)))


def refuse_changed_plan(plan: Plan, previous: Manifest | None, name: str) -> None:
    """Raise PlanError naming the changed fields, if the chain's checkpoints could not have come from this plan."""
    if previous is None:
        return
    different = [field for field in changed_fields(previous.plan, plan) if invalidates_checkpoint(field)]
    if different:
        raise PlanError(
            f"the plan of {plan.pipeline} changed since {previous.name}: {', '.join(different)}. Checkpoints up to there were made "
            f"under the old plan, so {name} cannot continue from them. Either restore the plan, or make the whole chain again under "
            f"the new one: nightloop backfill {as_given(plan.pipeline)} --what all (what did not change is reused), or give the "
            "pipeline a new name"
        )


def _validate_landings(
    objects: Objects, warehouse: Warehouse, plan: Plan, landings: Sequence[Landing], previous: Manifest | None
) -> list[ValidatedPeriod]:
    vocabulary = empty_vocabulary(plan.columns)
    if previous is not None and previous.vocabulary:
        vocabulary = vocabulary_from_bytes(blobs.get(objects, previous.vocabulary))
    chain = list(walk_back(objects, previous))[::-1]
    statistics = history_statistics(chain)
    read = [logs for link in chain if link.outcome == "complete" for logs in link.logs]
    earlier, versions = [(logs.period, logs.digest) for logs in read], {logs.period: logs.version for logs in read}
    results: list[ValidatedPeriod] = []
    for landing in landings:
        override = read_override(objects, plan.pipeline, landing.place)
        accepted = override.reason if override and override.kind == "accept" else None
        at = (landing.period, landing.version)
        outcome = load_validation(
            objects, warehouse, plan, at, EarlierNights(statistics, vocabulary, versions), earlier, accepted
        )
        if outcome.validated.verdict != "blocked":
            vocabulary = reduce(
                grow_vocabulary, clean_ids(warehouse, plan, landing.period, landing.version), vocabulary
            )
            statistics = [*statistics, outcome.validated.statistics]
            earlier, versions = (
                [*earlier, (landing.period, outcome.digest)],
                {**versions, landing.period: landing.version},
            )
        logs = PeriodLogs(
            period=landing.period, version=landing.version, digest=outcome.digest, rows=outcome.rows,
            quarantined=outcome.quarantined, landed=landing.digest,
        )  # fmt: skip
        results.append(ValidatedPeriod(logs, outcome.validated, vocabulary))
    return results


def _skip(objects: Objects, landings: Sequence[Landing], plan: Plan) -> Override | None:
    overrides = [read_override(objects, plan.pipeline, landing.place) for landing in landings]
    return next((o for o in overrides if o and o.kind == "skip"), None)


def _carry_vocabulary(night: Night) -> Night:
    """The night with its predecessor's vocabulary. Raises PlanError at the root, which has no predecessor."""
    if night.previous is None or night.previous.vocabulary is None:
        raise PlanError(
            f"{night.name} is the root of {night.plan.pipeline}: it cannot be skipped, since later nights start from it"
        )
    return replace(night, vocabulary=night.previous.vocabulary)
