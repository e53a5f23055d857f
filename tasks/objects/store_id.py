"""Store id: a random text that every store has, so that machines can find out whether they see the same store.

It is written once. A copy of a store has the id of the original, so a store that is restored from a backup keeps its id.
"""

from __future__ import annotations

import uuid
from typing import Literal

from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.sealed_record import read_record, seal_record
from nightloop.tasks.plan.errors import ConflictError, StoreError
from nightloop.tasks.plan.frozen import Frozen

KEY = "store-id.json"


class StoreId(Frozen):
    """The record of the id."""

    format: Literal[1] = 1
    id: str


def read_store_id(objects: Objects) -> str:
    """The id of the store; empty if it has none: it is new, or no release that writes ids has deployed from it."""
    record = read_record(objects, KEY, StoreId, "a store id")
    return record.id if record else ""


def ensure_store_id(objects: Objects) -> str:
    """The id of the store. It is created if there is none; if several machines do so at once, all return the same id."""
    if known := read_store_id(objects):
        return known
    objects.create(KEY, seal_record(StoreId(id=uuid.uuid4().hex)))
    if known := read_store_id(objects):
        return known
    raise StoreError(f"{KEY} was just written and the store does not return it; a store must read its own writes")


def refuse_other_store(objects: Objects, place: str, wanted: str) -> None:
    """Raise ConflictError if the store does not have this id. `place`: where the store is; `wanted`: empty for any store."""
    if wanted and (seen := read_store_id(objects)) != wanted:
        raise ConflictError(
            f"this run belongs to the store with the id {wanted[:40]}, and {place} has {f'the id {seen}' if seen else 'no id'}: it is "
            "another store. Nothing was changed. Set NIGHTLOOP_STORE, NIGHTLOOP_S3_ENDPOINT and the credentials of this machine as "
            "on the machine that deployed; if the store was replaced on purpose, deploy again: nightloop deploy PLAN"
        )
