"""Versions: replay a version under changed rules, delete unneeded versions, and compact files."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.file_names import escape_name
from nightloop.tasks.lake.incoming import INSTANT, LINE
from nightloop.tasks.lake.ingest import rules_digest
from nightloop.tasks.lake.landing import Landing, put_delivery, stage
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.read_back import lost_write, read_back
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, NotReady
from nightloop.tasks.plan.plan import Columns, Plan

# The path of a file below the data path of its lake. Copies below it have another one, those of a single period or version too.
OURS = re.compile(
    r"/main/(landed/period=\d+/version=\d+|landed|quarantine|collected|layout)/ducklake-[0-9a-f-]+\.parquet"
)


def replay_version(warehouse: Warehouse, plan: Plan, period: Period, version: int) -> Landing:
    """Land the original rows of a version again, as a new version: for changed rules, if the source is gone.

    Rows that could not be typed are read again from their stored text; a time that was read stays as it is. Raises
    NotReady if the version does not exist.
    """
    key = {"period": period.index, "version": version}
    collected = warehouse.query("read/collected_version", key).to_pylist()
    if not collected:
        raise NotReady(
            f"the lake has no version {version} of period {period.name} to replay; newest is "
            f"{warehouse.latest().get(period.index)}"
        )
    params = {**key, "columns": json.loads(collected[0]["columns"])}
    batches = (_source_rows(batch, plan.columns) for batch in warehouse.stream("ingest/replay_rows", params))
    with tempfile.TemporaryDirectory(dir=warehouse.scratch) as room:
        file, arrived = stage(warehouse, batches, plan.columns, Path(room))
        return put_delivery(warehouse, period, file, arrived, rules_digest(plan), again=True)


def reland_newest(warehouse: Warehouse, plan: Plan, period: Period) -> Landing | None:
    """The newest version of a period under the plan's rules: the version itself, or a replay of it; None if there is none."""
    newest = warehouse.query("ingest/newest_landing", {"period": period.index}).to_pylist()
    if not newest or not newest[0]["rows"]:
        return None
    if newest[0]["rules"] == rules_digest(plan):
        return Landing(period.index, newest[0]["version"], newest[0]["digest"], newest[0]["rows"], False)
    return replay_version(warehouse, plan, period, newest[0]["version"])


def idle_versions(warehouse: Warehouse, keep: Mapping[int, Collection[int]]) -> list[tuple[int, int]]:
    """Versions, as (period, version), that are neither in `keep` nor the newest of their period."""
    rows = warehouse.query("maintain/expired_versions", version_lists(_versions_of(keep))).to_pylist()
    return [(row["period"], row["version"]) for row in rows]


def expire_versions(
    warehouse: Warehouse, keep: Mapping[int, Collection[int]], chosen: Collection[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Delete those of the `chosen` versions that are neither in `keep` nor the newest of their period; return them."""

    def delete_versions() -> list[tuple[int, int]]:
        gone = [version for version in idle_versions(warehouse, keep) if version in {*chosen}]
        for table in ("landed", "quarantine", "collected") if gone else ():
            warehouse.query(f"maintain/expire_{table}", version_lists(gone))
        if gone:  # which rows of a file are deleted is written to a file too
            read_back(partial(warehouse.query, "maintain/remaining_rows"), "marks of deleted rows", warehouse.place)
        return gone

    return warehouse.write(delete_versions) if chosen else []


def absent_versions(warehouse: Warehouse, keep: Mapping[int, Collection[int]]) -> list[tuple[int, int]]:
    """Versions, as (period, version), that are in `keep` and not in the catalog: then it is not the one that nights read."""
    return missing_versions(warehouse, _versions_of(keep))


def missing_versions(warehouse: Warehouse, versions: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the versions, as (period, version), that the catalog does not have, in order."""
    return sorted({*versions} - {*landed_digests(warehouse, versions)})


def landed_digests(warehouse: Warehouse, versions: Collection[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """The digest of all rows that landed as each of the versions, as (period, version); one that is not there is left out."""
    rows = warehouse.query("read/versions_there", version_lists(versions)).to_pylist()
    return {(row["period"], row["version"]): row["digest"] for row in rows}


def all_digests(warehouse: Warehouse) -> dict[tuple[int, int], str]:
    """As `landed_digests`, of all versions of the lake, in order."""
    rows = warehouse.query("read/all_versions").to_pylist()
    return {(row["period"], row["version"]): row["digest"] for row in rows}


def clean_counts(warehouse: Warehouse, versions: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """How many clean rows each of the versions, as (period, version), has; a version without any is left out."""
    rows = warehouse.query("read/clean_counts", version_lists(versions)).to_pylist()
    return {(row["period"], row["version"]): row["rows"] for row in rows}


def compact_lake(warehouse: Warehouse, before: datetime) -> None:
    """Merge small files, and remove those that no snapshot since `before` needs.

    Snapshots of the catalog that are older than `before` are lost; versions stay. Only for a catalog that is alone in its
    data place (see `catalog_marks`): files that it does not know are removed.
    """
    _refuse_files_of_others(warehouse, before)
    warehouse.write(partial(_merge_files, warehouse), "maintain/no_turn")
    numbers = warehouse.query("maintain/old_snapshots", {"before": before}).column(0)[0].as_py()
    if numbers:
        warehouse.query("maintain/expire_snapshots", {"numbers": numbers})
    warehouse.query("maintain/remove_old_files", {"before": before})
    warehouse.query("maintain/remove_orphans", {"before": before, "dry": False})


def _merge_files(warehouse: Warehouse) -> None:
    """Merge small files. To be called in a transaction: merged files that cannot be read back replace no others."""
    before = _files(warehouse)
    merged = sum(warehouse.query("maintain/merge_files").column("files_created").to_pylist())
    files = sorted(_files(warehouse) - before) if merged else []
    if len(files) < merged:
        raise lost_write("merged files", warehouse.place, f"{len(files)} of {merged} are there")
    if files:
        read_back(partial(warehouse.query, "maintain/read_files", {"files": files}), "merged files", warehouse.place)


def _files(warehouse: Warehouse) -> set[str]:
    pattern = f"{escape_name(warehouse.place)}/main/**/*.parquet"
    return {*warehouse.query("maintain/lake_files", {"pattern": pattern}).column("file").to_pylist()}


def _refuse_files_of_others(warehouse: Warehouse, before: datetime) -> None:
    """Raise DataError if the data place holds Parquet files that this lake did not write: it would remove them as well."""
    orphans = warehouse.query("maintain/remove_orphans", {"before": before, "dry": True}).column(0).to_pylist()
    root = _single_slashes(warehouse.place)
    others = [
        path
        for path in orphans
        if not (_single_slashes(path).startswith(root) and OURS.fullmatch(_single_slashes(path).removeprefix(root)))
    ]
    if others:
        raise DataError(
            f"no file of the lake was removed or merged: its directory holds files that this lake did not write, the first is "
            f"{others[0]}. Move them to another directory (a backup, another lake), or set NIGHTLOOP_DATA to a directory that only "
            "this lake uses"
        )


def _single_slashes(path: str) -> str:
    return re.sub("/+", "/", path)


def _versions_of(keep: Mapping[int, Collection[int]]) -> list[tuple[int, int]]:
    return [(period, version) for period in sorted(keep) for version in sorted(keep[period])]


def version_lists(versions: Collection[tuple[int, int]]) -> dict[str, list[int]]:
    """The versions, as (period, version), as parameters of a statement."""
    return {"periods": [period for period, _ in versions], "versions": [version for _, version in versions]}


def _source_rows(batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """Rows as text under the source's names. If a row has `_raw`, its values are used."""
    names = {"user": columns.user, "item": columns.item, "time": columns.time, "label": columns.label or "label",
             "served": columns.logged_probability or "served"}  # fmt: skip
    columns_by_name = {name: batch.column(name) for name in batch.schema.names if name not in ("_raw", INSTANT)}
    columns_by_name[LINE] = pa.nulls(batch.num_rows, pa.string())
    raw = batch.column("_raw")
    if raw.null_count < len(raw):
        rows = [json.loads(text) for text in raw.drop_null().to_pylist()]
        columns_by_name = {
            name: _restore_texts(values, raw, [row.get(name) for row in rows])
            for name, values in columns_by_name.items()
        }
    renamed = {names.get(name, name): values for name, values in columns_by_name.items()}
    return pa.RecordBatch.from_pydict({**renamed, INSTANT: batch.column(INSTANT)})


def _restore_texts(values: pa.Array, raw: pa.Array, originals: list[object]) -> pa.Array:
    texts = pa.array([None if value is None else str(value) for value in originals], pa.string())
    return pc.replace_with_mask(values.cast(pa.string()), pc.is_valid(raw), texts)
