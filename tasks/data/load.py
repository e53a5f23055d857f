"""Load: clean rows of chosen versions as tensors of vocabulary rows, always in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nightloop.tasks.data.clean_rows import Versions, existing_counts, existing_versions
from nightloop.tasks.data.encode import encode_rows, vocabulary_rows_of
from nightloop.tasks.data.histories import NOBODY, with_histories
from nightloop.tasks.data.logs import NO_ITEMS, NONE, Logs
from nightloop.tasks.data.memmap import allocate_columns
from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.versions import version_lists
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import ConflictError, DataError
from nightloop.tasks.plan.plan import Plan

AT_ONCE = 1_000_000  # rows of small periods that the lake sorts together


def read_logs(
    warehouse: Warehouse,
    plan: Plan,
    vocabulary: Vocabulary,
    versions: Versions,
    seed: int,
    earlier: Versions = (),
) -> Logs:
    """The clean rows of `versions` as Logs of the newest of them, in order of (period, time, user, item).

    The vocabulary may be a later one: of it only ids born up to the newest period are used. Missing numbers are 0,
    missing categories have an id of their own, values beyond the most that a row may have are left out, and a
    probability that was not logged is NaN. If the plan has histories, they continue from the versions of periods
    `earlier`, whose rows are not read. Raises NotReady for a version that is not in the lake, DataError for an id that
    the vocabulary lacks and for an earlier period that is not before all of `versions`, and ConflictError if the lake
    changed in the meantime.

    Rows are read in batches. Logs larger than the setting `logs_memory` are in memory-mapped files (`data.memmap`).
    """
    if not versions:
        raise DataError("read_logs needs at least one version of a period")
    fields, newest = vocabulary.fields, max(period for period, _ in versions)
    sizes = vocabulary.sizes(newest)
    columns = _columns(warehouse, plan, vocabulary, versions, sizes)
    births = zip((vocabulary.births[field] for field in fields), sizes, strict=True)
    logs = Logs(
        period=newest,
        fields=fields,
        sizes=sizes,
        born=tuple(torch.from_numpy(born[:size].to_numpy().astype(np.int32)) for born, size in births),
        seed=seed,
        others=plan.columns.others,
        several=plan.columns.multi_value_fields,
        periods=columns["periods"],
        rows=columns["rows"],
        numeric=columns["numeric"],
        label=columns["label"] if plan.columns.label else torch.ones(len(columns["rows"])),
        time=columns["time"],
        values=columns["values"] if plan.columns.multi_value else NO_ITEMS,
        served=columns["served"] if plan.columns.logged_probability else NONE,
        ranking=plan.ranking,
        metric=plan.leading_metric,
    )
    if not plan.columns.history_length:
        return logs
    taken = _taken_before(warehouse, plan, vocabulary, versions, earlier)
    return with_histories(logs, plan.columns.history_length, taken)


def _columns(
    warehouse: Warehouse, plan: Plan, vocabulary: Vocabulary, versions: Versions, sizes: Sequence[int]
) -> dict[str, Tensor]:
    """The columns of logs that come from the lake, filled batch by batch. One batch more is in memory."""
    optional = (("label", plan.columns.label), ("served", plan.columns.logged_probability))
    kinds = {
        "periods": ((), torch.int32), "rows": ((len(vocabulary.fields),), torch.int64), "time": ((), torch.int64),
        "numeric": ((len(plan.columns.numeric),), torch.float32),
        "values": ((len(plan.columns.multi_value_fields),), torch.int64),
        **{role: ((), torch.float32) for role, name in optional if name},
    }  # fmt: skip
    needed = [*({"label", "served"} & kinds.keys()), "period", "time", *vocabulary.fields, *plan.columns.numeric]
    parts = _parts(warehouse, versions)
    count = sum(rows for _, rows in parts)
    columns, filled = allocate_columns(count, kinds, warehouse.most, warehouse.scratch), 0
    for part, _ in parts:
        for batch in warehouse.stream("read/clean_rows", {**version_lists(part), "columns": needed}):
            rows = slice(filled, filled + batch.num_rows)
            filled = rows.stop
            if filled > count:
                break
            for name, values in encode_rows(plan, vocabulary, sizes, pa.Table.from_batches([batch])).items():
                columns[name].numpy()[rows] = values
    if filled != count:
        raise ConflictError(
            f"the lake changed while it was read: {filled:,} rows came instead of {count:,}; read again"
        )
    return columns


def _parts(warehouse: Warehouse, versions: Versions) -> list[tuple[list[tuple[int, int]], int]]:
    """The versions in parts of whole periods, oldest first, and how many clean rows each has.

    The lake reads and sorts one part at a time: small periods together, a large one alone.
    """
    rows = existing_counts(warehouse, versions)
    parts: list[tuple[list[tuple[int, int]], int]] = []
    for _, group in groupby(sorted(versions), lambda version: version[0]):
        own = list(group)
        more = sum(rows.get(version, 0) for version in own)
        if parts and parts[-1][1] + more <= AT_ONCE:
            parts[-1] = ([*parts[-1][0], *own], parts[-1][1] + more)
        else:
            parts.append((own, more))
    return parts


def _taken_before(
    warehouse: Warehouse, plan: Plan, vocabulary: Vocabulary, versions: Versions, earlier: Versions
) -> Tensor:
    """(user row, item row) of the newest items each user took in periods `earlier`, oldest first: [m, 2] int64."""
    if not earlier:
        return NOBODY
    if max(earlier)[0] >= min(versions)[0]:
        raise DataError(f"histories continue from periods before {min(versions)[0]}; given is period {max(earlier)[0]}")
    options = {"most": plan.columns.history_length, "labelled": plan.columns.label is not None}
    table = warehouse.query("read/newest_items", {**existing_versions(warehouse, earlier), **options})
    rows = [vocabulary_rows_of(vocabulary, field, table.column(field)) for field in ("user", "item")]
    return torch.from_numpy(np.stack(rows, axis=1))


def read_pairs(warehouse: Warehouse, vocabulary: Vocabulary, versions: Versions) -> Tensor:
    """Every (user row, item row) that met in clean rows of `versions`, once each, in order: [m, 2] int64."""
    items = len(vocabulary.ids["item"])
    marks = [
        vocabulary_rows_of(vocabulary, "user", batch.column("user")) * items + vocabulary_rows_of(vocabulary, "item", batch.column("item"))
        for batch in warehouse.stream("read/clean_pairs", existing_versions(warehouse, versions))
    ] if versions else []  # fmt: skip
    pairs = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *marks]))
    return torch.from_numpy(np.stack([pairs // max(items, 1), pairs % max(items, 1)], axis=1))
