"""Reading: clean rows of chosen versions, as tensors in the words of a vocabulary, in one order for everyone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from tasks.lake.histories import NOBODY, with_histories
from tasks.lake.landing import digest
from tasks.lake.logs import NO_ITEMS, NONE, Logs
from tasks.lake.vocabulary import Vocabulary, encode, separate
from tasks.lake.warehouse import Warehouse
from tasks.plan.plan import Plan

Versions = Sequence[tuple[int, int]]  # (period index, version)


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
    missing categories have an id of their own, values beyond the most that a row may have are left out, what was served
    and not logged is NaN. Where the plan has histories they go on from the versions of periods `earlier`, whose rows
    are not read themselves. Raises LookupError for a version that is not in the lake, ValueError for an id that the
    vocabulary lacks and for an earlier period that is not before all of `versions`.
    """
    if not versions:
        raise ValueError("read_logs needs at least one version of a period")
    fields, newest = vocabulary.fields, max(period for period, _ in versions)
    roles = [role for role in ("label", "served") if getattr(plan.columns, role)]
    wanted = ["period", "time", *fields, *plan.columns.numeric, *roles]
    table = separate(_clean(warehouse, versions, wanted), plan.columns)
    sizes = vocabulary.sizes(newest)
    rows, values = [], []
    for field, size in zip(fields, sizes, strict=True):
        if most := plan.columns.several.get(field, 0):
            values.append(_several(vocabulary, field, size, table.column(field), most))
        rows.append(values[-1][:, 0] if most else _known(vocabulary, field, size, table.column(field)))
    numeric = [_numbers(table, name) for name in plan.columns.numeric]
    size = table.num_rows
    logs = Logs(
        period=newest,
        periods=torch.from_numpy(table.column("period").to_numpy().astype(np.int32)),
        fields=fields,
        rows=torch.from_numpy(np.stack(rows, axis=1)),
        numeric=torch.from_numpy(np.stack(numeric, axis=1)) if numeric else torch.zeros(size, 0),
        label=torch.from_numpy(_numbers(table, "label")) if plan.columns.label else torch.ones(size),
        time=torch.from_numpy(table.column("time").cast(pa.int64()).to_numpy().astype(np.int64)),
        sizes=sizes,
        born=tuple(_births(vocabulary, field, size) for field, size in zip(fields, sizes, strict=True)),
        seed=seed,
        others=plan.columns.others,
        values=torch.from_numpy(np.concatenate(values, axis=1)) if values else NO_ITEMS,
        several=plan.columns.several_fields,
        served=torch.from_numpy(_numbers(table, "served", math.nan)) if plan.columns.served else NONE,
    )
    if not plan.columns.history:
        return logs
    return with_histories(logs, plan.columns.history, _taken_before(warehouse, plan, vocabulary, versions, earlier))


def _taken_before(
    warehouse: Warehouse, plan: Plan, vocabulary: Vocabulary, versions: Versions, earlier: Versions
) -> Tensor:
    """(user row, item row) of the newest items each user took in periods `earlier`, oldest first: [m, 2] int64."""
    if not earlier:
        return NOBODY
    if max(earlier)[0] >= min(versions)[0]:
        raise ValueError(f"histories go on from periods before {min(versions)[0]}; given is period {max(earlier)[0]}")
    asked = {"most": plan.columns.history, "labelled": plan.columns.label is not None}
    table = warehouse.query("newest_items", {**_asked(warehouse, earlier), **asked})
    rows = [_rows(vocabulary, field, table.column(field)) for field in ("user", "item")]
    return torch.from_numpy(np.stack(rows, axis=1))


def clean_ids(warehouse: Warehouse, plan: Plan, period: int, version: int) -> pa.Table:
    """The ids of a version's clean rows, in order, as `vocabulary.grow` wants them: period and one column per field."""
    table = _clean(warehouse, [(period, version)], ["period", "user", "item", *plan.columns.categorical])
    return separate(table, plan.columns)


def read_pairs(warehouse: Warehouse, vocabulary: Vocabulary, versions: Versions) -> Tensor:
    """Every (user row, item row) that met in clean rows of `versions`, once each, in order: [m, 2] int64."""
    items = len(vocabulary.ids["item"])
    marks = [
        _rows(vocabulary, "user", batch.column("user")) * items + _rows(vocabulary, "item", batch.column("item"))
        for batch in warehouse.stream("clean_pairs", _asked(warehouse, versions))
    ] if versions else []  # fmt: skip
    pairs = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *marks]))
    return torch.from_numpy(np.stack([pairs // max(items, 1), pairs % max(items, 1)], axis=1))


def clean_digest(warehouse: Warehouse, period: int, version: int) -> tuple[str, int, int]:
    """SHA-256 of a version's clean rows, whatever their order; how many rows arrived; how many are put aside."""
    place = {"period": period, "version": version}
    found = warehouse.query("collected_version", place).to_pylist()
    if not found:
        raise _absent([(period, version)])
    columns = json.loads(found[0]["columns"])
    (clean,) = warehouse.query("clean_digest", {**place, "columns": columns}).to_pylist()
    return digest(clean["rows"], clean["total"], columns), found[0]["rows"], found[0]["rows"] - clean["rows"]


def _clean(warehouse: Warehouse, versions: Versions, columns: Sequence[str]) -> pa.Table:
    return warehouse.query("clean_rows", {**_asked(warehouse, versions), "columns": list(columns)})


def _asked(warehouse: Warehouse, versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters. Raises LookupError where one is not in the lake."""
    asked = {"periods": [period for period, _ in versions], "versions": [version for _, version in versions]}
    there = {(row["period"], row["version"]) for row in warehouse.query("versions_there", asked).to_pylist()}
    if missing := sorted(set(versions) - there):
        raise _absent(missing)
    return asked


def _absent(versions: Versions) -> LookupError:
    named = ", ".join(f"version {version} of period {period}" for period, version in versions[:10])
    return LookupError(f"the lake has no {named}: it was never collected, or has expired; collect the period again")


def _several(vocabulary: Vocabulary, field: str, size: int, lists: pa.ChunkedArray, most: int) -> npt.NDArray[np.int64]:
    """Rows of the first `most` values of each list, -1 where there are fewer: [n, most]."""
    whole = lists.combine_chunks()
    parent = np.asarray(pc.list_parent_indices(whole), dtype=np.int64)
    first = np.searchsorted(parent, np.arange(len(whole)))
    place = np.arange(len(parent)) - first[parent]
    found = np.full((len(whole), most), -1, dtype=np.int64)
    coded = _known(vocabulary, field, size, pc.list_flatten(whole))
    found[parent[place < most], place[place < most]] = coded[place < most]
    return found


def _known(vocabulary: Vocabulary, field: str, size: int, values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Rows of one field, all below `size`."""
    rows = _rows(vocabulary, field, values)
    if field in vocabulary.rare:
        return np.where(rows < size, rows, 0)  # what earned its row later was rare then
    if len(rows) and rows.max() >= size:
        raise ValueError(f"{field}: an id of these logs was born after them: the vocabulary belongs to another history")
    return rows


def _rows(vocabulary: Vocabulary, field: str, values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    rows = encode(vocabulary, field, values)
    if (unknown := np.flatnonzero(rows < 0)).size:
        shown = str(values[int(unknown[0])])[:60]
        raise ValueError(
            f"{field}: {unknown.size:,} rows have ids that the vocabulary lacks, such as {shown!r}: grow it first"
        )
    return rows


def _numbers(table: pa.Table, name: str, missing: float = 0.0) -> npt.NDArray[np.float32]:
    return np.asarray(pc.fill_null(table.column(name), missing).to_numpy(), dtype=np.float32)


def _births(vocabulary: Vocabulary, field: str, size: int) -> Tensor:
    return torch.from_numpy(vocabulary.births[field][:size].to_numpy().astype(np.int32))
