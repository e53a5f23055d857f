"""Reading: the history of one pipeline, from the store and the lake, as the reports want it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue
from torch import Tensor

from tasks.lake.periods import period
from tasks.lake.warehouse import Warehouse
from tasks.models.checkpoint import from_bytes
from tasks.plan.plan import Plan
from tasks.reports.history import History
from tasks.store import blobs, manifests, registry
from tasks.store.due import recorded, root
from tasks.store.manifest import Manifest
from tasks.store.notes import noted
from tasks.store.objects import Objects
from tasks.store.overview import overview

DETAILED = 30  # newest nights that are read in full: validation tables and scores of single rows


def read_history(objects: Objects, warehouse: Warehouse, plan: Plan, last: int | None = None) -> History:
    """Everything there is to tell, up to period `last` or the last night that was recorded."""
    first = root(plan)
    reach = max(recorded(objects, plan), first, first if last is None else last)
    nights, states = overview(objects, warehouse, plan, reach)
    newest = {i: nights[i] for i in sorted(nights)[-DETAILED:]}
    return History(
        pipeline=plan.pipeline,
        nights=nights,
        states=states,
        names={i: period(plan.periods, i).name for i in states if i not in nights},
        later=reach - max(states),
        log=registry.log(objects, plan.pipeline),
        notes={i: found for i, night in nights.items() if (found := _numbers(noted(objects, night) or {}))},
        validations={i: json.loads(blobs.get(objects, n.validated[-1].blob)) for i, n in newest.items() if n.validated},
        earlier={i: _earlier(objects, night) for i, night in newest.items() if night.revision > 1},
        scored={i: _scores(objects, night) for i, night in newest.items() if night.scores},
    )


def _scores(objects: Objects, night: Manifest) -> dict[str, dict[str, Tensor]]:
    return {name: from_bytes(blobs.get(objects, s.blob)) for name, s in night.scores.items()}


def _earlier(objects: Objects, night: Manifest) -> list[Manifest]:
    """What stood in the place of this night before it was mended, oldest first."""
    return [manifests.revision(objects, night.pipeline, night.period, n) for n in range(1, night.revision)]


def _numbers(found: Mapping[str, JsonValue]) -> dict[str, dict[str, float]]:
    """The numbers of a note; anything else in it is not ours."""
    parts = {part: values for part, values in found.items() if isinstance(values, dict)}
    return {p: {n: float(x) for n, x in v.items() if isinstance(x, int | float)} for p, v in parts.items()}
