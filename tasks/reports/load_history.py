"""Loads the history of one pipeline, from the store and the lake, as the reports need it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from pydantic import JsonValue

from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.evaluation.scored_rows import rows_from_bytes
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects import blobs
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

DETAILED = 30  # newest nights that are read in full: validation tables and scores of single rows


@dataclass(frozen=True)
class RecordedNights:
    """What the records say of every night, without its blobs."""

    nights: Mapping[int, Manifest]
    states: Mapping[int, State]
    later: int  # periods after those of `states` that are missing
    log: Sequence[Entry]

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
    root = root_period(plan)
    newest = max(newest_recorded(objects, plan), root, root if last is None else last)
    nights, states = overview(objects, warehouse, plan, newest)
    return RecordedNights(nights, states, newest - max(states), promotion_log.read_log(objects, plan.pipeline))


def read_history(objects: Objects, warehouse: Warehouse, plan: Plan, last: int | None = None) -> History:
    """The whole history, up to period `last` or the last night that was recorded."""
    return history_of(objects, plan, read_recorded_nights(objects, warehouse, plan, last))


def history_of(objects: Objects, plan: Plan, recorded: RecordedNights) -> History:
    """The same from nights that were read already: the newest of them are read in full."""
    nights, states = recorded.nights, recorded.states
    newest = {i: nights[i] for i in sorted(nights)[-DETAILED:]}
    return History(
        pipeline=plan.pipeline,
        nights=nights,
        states=states,
        names={i: period(plan.periods, i).name for i in states if i not in nights},
        later=recorded.later,
        log=recorded.log,
        notes={i: numbers for i, night in nights.items() if (numbers := _numbers(read_timings(objects, night) or {}))},
        validations={i: json.loads(blobs.get(objects, n.validated[-1].blob)) for i, n in newest.items() if n.validated},
        earlier={i: _earlier(objects, night) for i, night in newest.items() if night.revision > 1},
        scored={i: _scores(objects, night) for i, night in newest.items() if night.scores},
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
