"""History: the periods that are replayed, each with its version and its validation, and the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pydantic import BaseModel, ConfigDict

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.load import read_logs
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.vocabulary import Vocabulary, empty_vocabulary, grow_vocabulary
from nightloop.tasks.lake.ingest import rules_digest
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.overrides import read_override
from nightloop.tasks.record.validations import ValidationOutcome, load_validation
from nightloop.tasks.validation.gx import EarlierNights


class ReplayedPeriod(BaseModel):
    """One period that passed, as every entrant reads it."""

    model_config = ConfigDict(frozen=True)

    period: int
    name: str
    version: int
    digest: str  # of the clean rows
    rows: int


@dataclass(frozen=True)
class ValidatedHistory:
    """The periods that passed, oldest first, and the vocabulary at their close."""

    periods: tuple[ReplayedPeriod, ...]
    vocabulary: Vocabulary

    def logs(self, warehouse: Warehouse, plan: Plan) -> Logs:
        """All rows of all periods."""
        versions = [(replayed.period, replayed.version) for replayed in self.periods]
        return read_logs(warehouse, plan, self.vocabulary, versions, plan.seed)


def uncollected_periods(warehouse: Warehouse, plan: Plan, last: int) -> list[int]:
    """Periods up to `last` that a night would have to land: not in the lake, or landed under other rules than the plan's."""
    missing = []
    for index in range(last + 1):
        newest = warehouse.query("ingest/newest_landing", {"period": index}).to_pylist()
        if not newest or newest[0]["rules"] != rules_digest(plan):
            missing.append(index)
    return missing


def validated_history(objects: Objects, warehouse: Warehouse, plan: Plan, last: int) -> ValidatedHistory:
    """The history from period 0 to `last`, each period validated by the plan's expectations as in a night.

    A period that an operator skipped is left out, as it was from the nights. Raises PlanError that names the first
    period which validation stops.
    """
    newest, vocabulary = warehouse.latest(), empty_vocabulary(plan.columns)
    statistics: list[dict[str, float]] = []
    replayed: list[ReplayedPeriod] = []
    for index in range(last + 1):
        version, name = newest[index], period(plan.periods, index).name
        (landed,) = warehouse.query("ingest/newest_landing", {"period": index}).to_pylist()
        override = read_override(objects, plan.pipeline, (index, version, landed["digest"]))
        if override is not None and override.kind == "skip":
            continue
        accepted = override.reason if override is not None else None
        read = {earlier.period: earlier.version for earlier in replayed}
        outcome = _load_passed(
            objects, warehouse, plan, (index, version), replayed, EarlierNights(statistics, vocabulary, read), accepted
        )
        statistics = [*statistics, outcome.validated.statistics]
        vocabulary = reduce(grow_vocabulary, clean_ids(warehouse, plan, index, version), vocabulary)
        replayed.append(
            ReplayedPeriod(period=index, name=name, version=version, digest=outcome.digest, rows=outcome.rows)
        )
    return ValidatedHistory(tuple(replayed), vocabulary)


def _load_passed(
    objects: Objects, warehouse: Warehouse, plan: Plan, at: tuple[int, int], before: list[ReplayedPeriod], nights: EarlierNights,
    accepted: str | None,
) -> ValidationOutcome:  # fmt: skip
    """What validation says of a period that it let pass. Raises PlanError if validation stops it."""
    earlier = [(replayed.period, replayed.digest) for replayed in before]
    result = load_validation(objects, warehouse, plan, at, nights, earlier, accepted)
    if result.validated.verdict == "blocked":
        name = period(plan.periods, at[0]).name
        raise PlanError(
            f"{name} of {plan.pipeline} is stopped by validation: {'; '.join(result.validated.reasons)[:600]}. Nothing was "
            "replayed. Fix the source and collect it again, accept it or skip it (nightloop night "
            f'{as_given(plan.pipeline)} --period {name} --accept "why", or --skip "why"), or end before it (--end)'
        )
    return result
