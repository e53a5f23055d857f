"""Clean rows: the ids, the digest and the versions of clean rows, which nothing but the lake is needed for."""

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
    asked = {
        **existing_versions(warehouse, [(period, version)]),
        "columns": ["period", "user", "item", *plan.columns.categorical],
    }
    for batch in warehouse.stream("read/clean_rows", asked):
        yield split_values(pa.Table.from_batches([batch]), plan.columns)


def clean_digest(warehouse: Warehouse, period: int, version: int) -> tuple[str, int, int]:
    """SHA-256 of a version's clean rows, whatever their order; how many rows arrived; how many are put aside."""
    place = {"period": period, "version": version}
    found = warehouse.query("read/collected_version", place).to_pylist()
    if not found:
        raise _absent([(period, version)])
    columns = json.loads(found[0]["columns"])
    (clean,) = warehouse.query("read/clean_digest", {**place, "columns": columns}).to_pylist()
    return digest(clean["rows"], clean["total"], columns), found[0]["rows"], found[0]["rows"] - clean["rows"]


def clean_counts(warehouse: Warehouse, versions: Versions) -> dict[int, int]:
    """How many clean rows each period has, in the version of it that is asked for. Raises LookupError as `asked_for`."""
    counts = warehouse.query("read/clean_counts", existing_versions(warehouse, versions)).to_pylist()
    return {one["period"]: one["rows"] for one in counts}


def existing_versions(warehouse: Warehouse, versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters. Raises LookupError if one is not in the lake."""
    asked = as_parameters(versions)
    there = {(row["period"], row["version"]) for row in warehouse.query("read/versions_there", asked).to_pylist()}
    if missing := sorted(set(versions) - there):
        raise _absent(missing)
    return asked


def as_parameters(versions: Versions) -> dict[str, list[int]]:
    """The versions as parameters, whether they are there or not."""
    return {"periods": [period for period, _ in versions], "versions": [version for _, version in versions]}


def _absent(versions: Versions) -> NotReady:
    named = ", ".join(f"version {version} of period {period}" for period, version in versions[:10])
    return NotReady(f"the lake has no {named}: it was never collected, or has expired; collect the period again")
