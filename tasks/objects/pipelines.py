"""Pipelines: the record of all pipelines, so that none is missed because a listing left it out."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects, swap_or_create
from nightloop.tasks.objects.retry import PAUSES
from nightloop.tasks.objects.sealed_record import read_record, seal_record
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.frozen import Frozen

KEY = "pipelines.json"
log = logging.getLogger(__name__)
RECORDED = re.compile(r"pipelines/([^/]+)/(?:nights/(\d{6})/\d{4}\.json|log/\d{8}\.json)")


class Pipelines(Frozen):
    """Every pipeline of the store, with the first night of each of its chains; no chain before the first night."""

    format: Literal[1] = 1
    complete: bool  # False: an older release wrote to this store, and no person has confirmed that these are all
    roots: dict[str, tuple[int, ...]]


def load_record(objects: Objects) -> Pipelines | None:
    """The record, or None if there is none yet. Raises PlanError if it is damaged."""
    try:
        return read_record(objects, KEY, Pipelines, "a record of pipelines")
    except ValueError as error:
        raise PlanError(
            f"{error}. No pipeline is lost: `nightloop maintain PLAN --adopt` makes the record again"
        ) from error


def readable_record(objects: Objects) -> Pipelines:
    """The record; an empty, incomplete one if there is none or it is damaged, so that nights can run."""
    try:
        return load_record(objects) or Pipelines(complete=False, roots={})
    except ValueError as error:
        log.warning("%s", error)
        return Pipelines(complete=False, roots={})


def begin_record(objects: Objects) -> None:
    """Create the record of a store. It is complete only if the store is empty."""
    if load_record(objects) is None:
        empty = not any(not key.startswith("probe/") for key in objects.keys(""))
        objects.create(KEY, seal_record(Pipelines(complete=empty, roots={})))


def register_pipeline(objects: Objects, pipeline: str, root: int | None = None) -> None:
    """Add a pipeline to the record before anything is written for it, or the first night of a chain."""

    def add_root(record: Pipelines) -> Pipelines:
        roots = {*record.roots.get(pipeline, ()), *(() if root is None else (root,))}
        return record.model_copy(update={"roots": {**record.roots, checked_pipeline(pipeline): tuple(sorted(roots))}})

    _update_record(objects, add_root)


def first_nights(objects: Objects, pipeline: str) -> tuple[int, ...] | None:
    """First nights of a pipeline's chains; None if the record does not name the pipeline."""
    return readable_record(objects).roots.get(pipeline)


def listed_pipelines(keys: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Pipelines that have nights or a promotion log in a listing, with the first night of each consecutive sequence."""
    nights: dict[str, set[int]] = {}
    for key in keys:
        if match := RECORDED.fullmatch(key):
            nights.setdefault(match[1], set()).update(() if match[2] is None else (int(match[2]),))
    return {name: tuple(sorted(i for i in indexes if i - 1 not in indexes)) for name, indexes in nights.items()}


def adopt_pipelines(objects: Objects, confirmed: Iterable[str]) -> Mapping[str, tuple[int, ...]]:
    """Make the record complete, with the pipelines that a person confirms.

    A name with a minus before it (-shop) is a pipeline that was given up: it is removed from the record, and a sweep may
    remove what it needed. Raises PlanError if the names are not those that the store shows and the record has; nothing is
    written then.
    """
    listed, names = listed_pipelines(objects.keys("pipelines/")), {name.strip() for name in confirmed if name.strip()}
    kept, given_up = {n for n in names if n[0] != "-"}, {n[1:] for n in names if n[0] == "-"}
    recorded = readable_record(objects).roots
    if present := sorted(given_up & {*listed}):
        raise PlanError(f"{', '.join(present)} cannot be given up while the store shows it: move its folder away first")
    if unseen := sorted(kept - {*listed, *recorded}):
        raise PlanError(
            f"the store shows no pipeline {', '.join(unseen)[:200]}; it shows {', '.join(sorted(listed)) or 'none'}. Nothing was "
            "written. Check that its folder is mounted and readable"
        )
    if left := sorted({*listed, *recorded} - kept - given_up):
        raise PlanError(
            f"the store or its record also has {', '.join(left)}; name every pipeline, and put a minus before one that was "
            f"given up: -{left[0]}"
        )

    def complete_record(record: Pipelines) -> Pipelines:
        begun = {*record.roots} - {*recorded}  # by a first night since the record was read above
        roots = {n: {*record.roots.get(n, ()), *listed.get(n, ())} for n in sorted(kept | begun)}
        return Pipelines(complete=True, roots={name: tuple(sorted(nights)) for name, nights in roots.items()})

    return _update_record(objects, complete_record).roots


def _update_record(objects: Objects, change: Callable[[Pipelines], Pipelines]) -> Pipelines:
    for pause in PAUSES:
        time.sleep(pause)
        stored = objects.read(KEY)
        record = readable_record(objects)
        changed = change(record)
        if stored and changed == record:
            return record
        if swap_or_create(objects, KEY, seal_record(changed), stored[1] if stored else ""):
            return changed
    raise TimeoutError(f"other writers changed {KEY} at each attempt; nothing was written. Run again")
