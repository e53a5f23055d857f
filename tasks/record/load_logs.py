"""Load logs: a night's logs as tensors, encoded with the night's own vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nightloop.tasks.data import load
from nightloop.tasks.data.clean_rows import other_rows
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.vocabulary import Vocabulary, vocabulary_from_bytes
from nightloop.tasks.lake.catalog_marks import refuse_other_catalog
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import NotReady
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record.due import root_period
from nightloop.tasks.record.manifest import PeriodLogs, TakenPart
from nightloop.tasks.record.night_context import Night, history
from nightloop.tasks.record.taken_items import add_taken_items
from nightloop.tasks.retraining.strategy import ALL_HISTORY


def vocabulary_of(objects: Objects, night: Night) -> Vocabulary:
    """The vocabulary at the close of the night's period."""
    return vocabulary_from_bytes(blobs.get(objects, night.vocabulary))


def logs_of(objects: Objects, warehouse: Warehouse, night: Night, read: Sequence[PeriodLogs]) -> Logs:
    """The clean rows of `read`, encoded, with histories from all periods before them in the chain.

    The result is cached until other logs are read, or the next night begins: most strategies read the same rows.
    """
    versions = [(part.period, part.version) for part in read]
    earlier = [part for part in history_logs(objects, night) if part.period < min(versions)[0]]
    before = [(part.period, part.version) for part in earlier]
    key = (night.plan.hash, night.vocabulary, tuple(versions), tuple(before))
    cached: Logs | None = warehouse.last_read.get(key)
    if cached is not None:
        return cached
    warehouse.last_read.clear()  # before reading, so that two sets of logs are never in memory
    _refuse_other_rows(warehouse, night, [*earlier, *read])
    vocabulary = vocabulary_of(objects, night)
    logs = load.read_logs(warehouse, night.plan, vocabulary, versions, night.plan.seed, before)
    warehouse.last_read[key] = logs
    return logs


def history_logs(objects: Objects, night: Night) -> list[PeriodLogs]:
    """The logs that histories are made of: those of every period of the chain; none if the plan has no histories."""
    return history(objects, night, night.period + 1) if night.plan.columns.history_length else []


def pairs_of(objects: Objects, warehouse: Warehouse, night: Night, read: Sequence[PeriodLogs]) -> Tensor:
    """Distinct (user, item) rows of `read`: [m, 2] int64."""
    _refuse_other_rows(warehouse, night, read)
    versions = [(part.period, part.version) for part in read]
    return load.read_pairs(warehouse, vocabulary_of(objects, night), versions)


def store_taken_items(objects: Objects, warehouse: Warehouse, night: Night) -> tuple[TakenPart, ...]:
    """What users took up to and including the night: the parts of the night before, and the night's own pairs."""
    before = night.previous.taken if night.previous else ()
    read = night.logs if before else history(objects, night, ALL_HISTORY)
    return add_taken_items(objects, before, pairs_of(objects, warehouse, night, read))


def _refuse_other_rows(warehouse: Warehouse, night: Night, read: Sequence[PeriodLogs]) -> None:
    """Raise NotReady if the lake's versions are not those that the nights of this chain read, and ConflictError if the
    lake of a worker is not that of the run.

    Every catalog counts its versions from 1. A catalog that was made again or restored, or that of another machine, has
    other rows under the same number.
    """
    if night.catalog:
        refuse_other_catalog(warehouse, night.catalog)
    others = other_rows(warehouse, read)
    for part in read:
        if (part.period, part.version) in others:
            rows = others[part.period, part.version]
            name = period(night.plan.periods, part.period).name
            start = period(night.plan.periods, max(part.period, root_period(night.plan))).name
            had = f"had {part.rows:,}" if rows != part.rows else "had as many others"
            raise NotReady(
                f"the lake has {'no' if rows is None else f'{rows:,}'} clean rows of {name} (version {part.version}), and the "
                f"night that read them {had}: this is another catalog, or one that was restored or made again. Restore the one "
                f"that the nights read, or make the nights again from this one: nightloop backfill "
                f"{as_given(night.plan.pipeline)} --start {start} --what all"
            )
