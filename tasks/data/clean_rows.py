"""Clean rows: the ids, the digest and the versions of clean rows, read from the lake alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from nightloop.tasks.data.vocabulary import split_values
from nightloop.tasks.lake.landing import digest
from nightloop.tasks.lake.versions import clean_counts, landed_digests, missing_versions, version_lists
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import NotReady
from nightloop.tasks.plan.plan import Plan

Versions = Sequence[tuple[int, int]]  # (period index, version)


class LogsOfNight(Protocol):
    """One version of a period as a night read it: its clean rows, their digest, and that of all rows that landed."""

    @property
    def period(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def landed(self) -> str: ...


def clean_ids(warehouse: Warehouse, plan: Plan, period: int, version: int) -> Iterator[pa.Table]:
    """The ids of a version's clean rows, in order and in batches, to grow a vocabulary by one after the other."""
    parameters = {
        **existing_versions(warehouse, [(period, version)]),
        "columns": ["period", "user", "item", *plan.columns.categorical],
    }
    for batch in warehouse.stream("read/clean_rows", parameters):
        yield split_values(pa.Table.from_batches([batch]), plan.columns)


def clean_digest(warehouse: Warehouse, period: int, version: int) -> tuple[str, int, int]:
    """SHA-256 of a version's clean rows, whatever their order; how many rows arrived; how many are put aside."""
    parameters = {"period": period, "version": version}
    collected = warehouse.query("read/collected_version", parameters).to_pylist()
    if not collected:
        raise _absent([(period, version)])
    columns = json.loads(collected[0]["columns"])
    (clean,) = warehouse.query("read/clean_digest", {**parameters, "columns": columns}).to_pylist()
    return digest(clean["rows"], clean["total"], columns), collected[0]["rows"], collected[0]["rows"] - clean["rows"]


def existing_counts(warehouse: Warehouse, versions: Versions) -> dict[tuple[int, int], int]:
    """How many clean rows each version has; one without any is left out. Raises NotReady as `existing_versions`.

    A version is counted once while the lake is open: each strategy asks, and a long history takes seconds to count.
    """
    if missing := _count(warehouse, versions):
        raise _absent(missing)
    return {version: rows for version in versions if (rows := warehouse.counted[version][0])}


def other_rows(warehouse: Warehouse, read: Sequence[LogsOfNight]) -> dict[tuple[int, int], int | None]:
    """The versions whose clean rows are not those that nights read, and how many clean rows the lake has of each.

    None: the version is not in the lake. What landed is compared by its digest, which the catalog has. Only if that differs
    the clean rows themselves are read: it also covers rows that were put aside.
    """
    others: dict[tuple[int, int], int | None] = dict.fromkeys(
        _count(warehouse, [(part.period, part.version) for part in read])
    )
    for part in read:
        if (part.period, part.version) in others:
            continue
        rows, landed = warehouse.counted[part.period, part.version]
        if rows != part.rows or (part.landed not in ("", landed) and not _has_clean_rows(warehouse, part)):
            others[part.period, part.version] = rows
    return others


def altered_versions(
    warehouse: Warehouse, read: Sequence[LogsOfNight], landed: Mapping[tuple[int, int], str]
) -> dict[tuple[int, int], str]:
    """What is wrong with the versions that nights read, in words; {}: the lake has what they read. `landed`: `all_digests` of it.

    As `other_rows`, of all nights at once: what landed is compared by its digest, and rows are read only where it differs.
    """
    altered = {}
    for part in read:
        found = landed.get((part.period, part.version))
        if found is None:
            altered[part.period, part.version] = "is not in the lake"
        elif part.landed not in ("", found) and not _has_clean_rows(warehouse, part):
            altered[part.period, part.version] = "has other rows in the lake than the night read"
    return altered


def existing_versions(warehouse: Warehouse, versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters of a statement. Raises NotReady if one is not in the lake."""
    unknown = [version for version in versions if version not in warehouse.counted]
    if missing := missing_versions(warehouse, unknown) if unknown else []:
        raise _absent(missing)
    return version_lists(versions)


def _count(warehouse: Warehouse, versions: Versions) -> list[tuple[int, int]]:
    """Note how many clean rows each version has, and the digest of what landed, if that is not known yet.

    Returns those that are not in the lake.
    """
    unknown = [version for version in versions if version not in warehouse.counted]
    if not unknown:
        return []
    landed = landed_digests(warehouse, unknown)
    counts = clean_counts(warehouse, [*landed])
    warehouse.counted.update({version: (counts.get(version, 0), digest) for version, digest in landed.items()})
    return sorted({*unknown} - {*landed})


def _has_clean_rows(warehouse: Warehouse, part: LogsOfNight) -> bool:
    return clean_digest(warehouse, part.period, part.version)[0] == part.digest


def _absent(versions: Versions) -> NotReady:
    named = ", ".join(f"version {version} of period {period}" for period, version in versions[:10])
    return NotReady(f"the lake has no {named}: it was never collected, or it has expired. Collect the period again")
