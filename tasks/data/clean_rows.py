"""Clean rows: the ids, the digest and the versions of clean rows, read from the lake alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pyarrow as pa

from nightloop.tasks.data.vocabulary import split_values
from nightloop.tasks.lake.landing import digest
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


def clean_counts(warehouse: Warehouse, versions: Versions) -> dict[int, int]:
    """How many clean rows each period has, in the given version. Raises NotReady as `existing_versions`."""
    counts = warehouse.query("read/clean_counts", existing_versions(warehouse, versions)).to_pylist()
    return {row["period"]: row["rows"] for row in counts}


def existing_versions(warehouse: Warehouse, versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters. Raises NotReady if one is not in the lake."""
    parameters = as_parameters(versions)
    existing = {
        (row["period"], row["version"]) for row in warehouse.query("read/versions_there", parameters).to_pylist()
    }
    if missing := sorted(set(versions) - existing):
        raise _absent(missing)
    return parameters


def as_parameters(versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters, without a check."""
    return {"periods": [period for period, _ in versions], "versions": [version for _, version in versions]}


def _absent(versions: Versions) -> NotReady:
    named = ", ".join(f"version {version} of period {period}" for period, version in versions[:10])
    return NotReady(f"the lake has no {named}: it was never collected, or it has expired. Collect the period again")
