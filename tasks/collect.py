"""Collect: land one period of logs in the lake, as a new version only if the content is new.

In this order, in `lake/landing.py`:

1. The plan's source reads the period's rows (`sources/`). They are written to a temporary file with the lake's types; values that
   cannot be typed are marked with a reason (`lake/incoming.py`).
2. Rows, their content and the plan's rules are hashed. If the newest version of the period has the same hashes, it is the answer.
3. Else the rows are inserted as the next version, in one transaction with what is put aside: rows that could not be typed, and
   repeats of a key. They are read back before it ends.

Whether the rows may be trained on is decided afterwards, in `tasks/validate.py`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from nightloop.tasks.lake.catalog_marks import refuse_other_catalog
from nightloop.tasks.lake.ingest import land_period as collect_period
from nightloop.tasks.lake.ingest import rules_digest
from nightloop.tasks.lake.landing import Landing, land
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.versions import reland_newest, replay_version
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.errors import NotReady
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest_store import current_manifest
from nightloop.tasks.resources import open_lake, open_store
from nightloop.tasks.runner import compute
from nightloop.tasks.sources import build
from nightloop.tasks.validation.gx import import_in_background

log = logging.getLogger(__name__)


def _worth_another_try(error: object) -> bool:
    """Whether another attempt may help: a broken file stays broken, a network error may pass."""
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def _run_title(verb: str) -> Callable[[Mapping[str, Any]], str]:
    """The verb and the period's name."""
    return lambda given: f"{verb} {period(given['plan'].periods, given['index']).name}"


@task(_run_title("collect"), pauses=(1.0, 5.0), worth=_worth_another_try)
def collect(plan: Plan, index: int, on_worker: str = "") -> Landing:
    """Read the period from the plan's source and land it. Collecting the same rows again changes nothing.

    `on_worker`: the identity of the catalog to which a worker of the run's runner writes the period; empty: it is collected here.
    """
    return compute(_land, plan, index, on_worker) if on_worker else _land(plan, index)


def _land(plan: Plan, index: int, on_worker: str = "") -> Landing:
    """Land the period. A worker that cannot find it raises FileNotFoundError: the run itself may see a newer delivery."""
    source = build(plan.source)
    with open_lake(plan) as warehouse:
        if on_worker:
            refuse_other_catalog(warehouse, on_worker)
        if "great_expectations" not in sys.modules and index not in warehouse.latest():
            import_in_background()  # a new period is validated next
        try:
            return collect_period(warehouse, source, plan, period(plan.periods, index))
        except FileNotFoundError as error:
            if on_worker or (landed := reland_newest(warehouse, plan, period(plan.periods, index))) is None:
                raise
            log.warning("%s; the version that landed before is used", error)
            return landed


@task(_run_title("pass over"))
def pass_over(plan: Plan, index: int) -> Landing:
    """Land an empty version of a period whose logs cannot be collected, so that the decision to skip it can be recorded."""
    with open_lake(plan) as warehouse:
        return land(warehouse, period(plan.periods, index), [], plan.columns, rules_digest(plan))


def was_passed_over(plan: Plan, index: int) -> bool:
    """Whether somebody has decided that the period is skipped without its logs: its night is run again without them too."""
    night = current_manifest(open_store(), plan.pipeline, index)
    return (
        night is not None
        and night.outcome == "skipped"
        and not any(part.rows + part.quarantined for part in night.logs)
    )


@task(_run_title("replay"))
def replay(plan: Plan, index: int) -> list[Landing]:
    """Land the newest version of a period again as a new one, so that corrected expectations can validate it."""
    with open_lake(plan) as warehouse:
        at, newest = period(plan.periods, index), warehouse.latest()
        if index not in newest:
            raise NotReady(f"{at.name} was never collected: there is nothing to replay")
        return [replay_version(warehouse, plan, at, newest[index])]
