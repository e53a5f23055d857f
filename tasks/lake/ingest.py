"""Ingest: read one period from a plan's source and land it. The same rows again are the same version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from nightloop.tasks.lake.landing import Landing, land
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.source import Source
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Plan, canonical_json

Answer = TypeVar("Answer")


def land_period(warehouse: Warehouse, source: Source, plan: Plan, period: Period) -> Landing:
    """Land the rows that the source has of `period`.

    The same rows under changed columns or expectations are a new version: the rows of a version that a night read never
    change. Raises DataError if the source cannot be read, FileNotFoundError if it does not exist and NotReady if the period
    is not complete yet; nothing is written then.
    """

    def landed() -> Landing:
        warehouse.remarks.clear()
        return land(
            warehouse, period, source.batches(warehouse, period, plan.columns), plan.columns, rules_digest(plan)
        )

    landing = read_until_complete(warehouse, landed)
    return landing if landing.rows else replace(landing, remark="; ".join(warehouse.remarks))


def read_until_complete(warehouse: Warehouse, read: Callable[[], Answer]) -> Answer:
    """The result of `read`, which is called again each time it finds files that must be read line by line."""
    while True:
        count = len(warehouse.by_line)
        try:
            return read()
        except BlockingIOError:
            if len(warehouse.by_line) == count:
                raise


def rules_digest(plan: Plan) -> str:
    """SHA-256 of the plan's fields that decide which rows of a delivery are clean. A field of a later release does not change
    it while it has its default."""
    parts = {"columns": plan.columns, "expectations": plan.expectations, "periods": plan.periods}
    return hashlib.sha256(
        canonical_json({name: part.model_dump(mode="json", exclude_defaults=True) for name, part in parts.items()})
    ).hexdigest()
