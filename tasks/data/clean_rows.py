"""Clean rows: the ids, the digest and the versions of clean rows, read from the lake alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pyarrow as pa

from nightloop.tasks.data.vocabulary import split_values
from nightloop.tasks.lake.landing import digest
from nightloop.tasks.lake.versions import clean_counts, missing_versions, version_lists
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import NotReady
from nightloop.tasks.plan.plan import Plan

Versions = Sequence[tuple[int, int]]  # (period index, version)


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
    if unknown := [version for version in versions if version not in warehouse.counted]:
        existing_versions(warehouse, unknown)
        counts = clean_counts(warehouse, unknown)
        warehouse.counted.update({version: counts.get(version, 0) for version in unknown})
    return {version: rows for version in versions if (rows := warehouse.counted[version])}


def existing_versions(warehouse: Warehouse, versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters of a statement. Raises NotReady if one is not in the lake."""
    if missing := missing_versions(warehouse, versions):
        raise _absent(missing)
    return version_lists(versions)


def _absent(versions: Versions) -> NotReady:
    named = ", ".join(f"version {version} of period {period}" for period, version in versions[:10])
    return NotReady(f"the lake has no {named}: it was never collected, or it has expired. Collect the period again")
