"""Loads the history of one pipeline, from the store and the lake, as the reports need it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

from pydantic import JsonValue

from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.evaluation.scored_rows import rows_from_bytes
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.copies import WithCopies, with_copies
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.plan import Plan, canonical_json
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.backfill_plan import State
from nightloop.tasks.record.due import newest_recorded, root_period
from nightloop.tasks.record.entries import Entry
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.period_states import overview
from nightloop.tasks.record.timings import read_timings
from nightloop.tasks.reports.history import History

DETAILED = 30  # newest nights whose validation tables are read
SCORED = 20  # newest nights whose scores of single rows are read, for paired intervals


@dataclass(frozen=True)
class RecordedNights:
    """What the records say of every night, without its blobs."""

    nights: Mapping[int, Manifest]
    states: Mapping[int, State]
    later: int  # periods after those of `states` that are missing
    log: Sequence[Entry]
    store: WithCopies  # what they were read from

    @property
    def stamp(self) -> str:
        """SHA-256 of all of it and of the release. Two reports with the same stamp are the same."""
        content = {
            "release": version("nightloop"),
            "nights": {str(index): night.hash for index, night in self.nights.items()},
            "states": {
                str(index): [state.state, *state.reasons, *state.changed] for index, state in self.states.items()
            },
            "later": self.later,
            "log": [entry.model_dump(mode="json") for entry in self.log[-1:]],
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()


def read_recorded_nights(objects: Objects, warehouse: Warehouse, plan: Plan, last: int | None = None) -> RecordedNights:
    """What the records say of every night up to period `last`, or the last night that was recorded."""
    root, seen = root_period(plan), with_copies(objects, plan.pipeline)
    newest = max(newest_recorded(objects, plan), root, root if last is None else last)
    nights, states = overview(seen, warehouse, plan, newest)
    return RecordedNights(nights, states, newest - max(states), promotion_log.read_log(seen, plan.pipeline), seen)


def read_history(objects: Objects, warehouse: Warehouse, plan: Plan, last: int | None = None) -> History:
    """The whole history, up to period `last` or the last night that was recorded."""
    return history_of(objects, plan, read_recorded_nights(objects, warehouse, plan, last))


def history_of(objects: Objects, plan: Plan, recorded: RecordedNights) -> History:
    """The same from nights that were read already: the newest of them are read in full."""
    nights, states, seen = recorded.nights, recorded.states, recorded.store
    newest = {i: nights[i] for i in sorted(nights)[-DETAILED:]}
    judged = [i for i in sorted(newest)[-SCORED:] if nights[i].scores]
    with ThreadPoolExecutor(16) as pool:  # a store may be slow
        notes = list(pool.map(lambda night: _numbers(read_timings(seen, night) or {}), nights.values()))
        scored = list(pool.map(lambda i: _scores(objects, nights[i]), judged))
        tables = list(
            pool.map(
                lambda n: json.loads(blobs.get(seen, n.validated[-1].blob)) if n.validated else None, newest.values()
            )
        )
    return History(
        pipeline=plan.pipeline,
        nights=nights,
        states=states,
        names={i: period(plan.periods, i).name for i in states if i not in nights},
        later=recorded.later,
        log=recorded.log,
        notes={i: numbers for i, numbers in zip(nights, notes, strict=True) if numbers},
        validations={i: table for i, table in zip(newest, tables, strict=True) if table is not None},
        earlier={i: _earlier(seen, night) for i, night in newest.items() if night.revision > 1},
        scored=dict(zip(judged, scored, strict=True)),
    )


def _scores(objects: Objects, night: Manifest) -> dict[str, dict[str, Numbers]]:
    return {name: rows_from_bytes(blobs.get(objects, s.blob)) for name, s in night.scores.items()}


def _earlier(objects: Objects, night: Manifest) -> list[Manifest]:
    """The earlier revisions of this night, oldest first."""
    return [manifest_store.read_revision(objects, night.pipeline, night.period, n) for n in range(1, night.revision)]


def _numbers(note: Mapping[str, JsonValue]) -> dict[str, dict[str, float]]:
    """The numbers of a note; anything else in it is ignored."""
    parts = {part: values for part, values in note.items() if isinstance(values, dict)}
    return {p: {n: float(x) for n, x in v.items() if isinstance(x, int | float)} for p, v in parts.items()}
