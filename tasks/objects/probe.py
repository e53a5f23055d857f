"""Probe: whether a store honours conditional writes, and has a format that this nightloop reads."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import canonical_json

if TYPE_CHECKING:  # objects.py opens a store and so needs this file
    from nightloop.tasks.objects.objects import Objects

FORMAT = 1
FORMAT_KEY = "format.json"


def check_format(objects: Objects, place: str) -> bool:
    """True if the store has our format, False if it has none yet. Raises DataError if it has another."""
    from nightloop.tasks.objects.read_verified import read_parsed  # it needs objects.py, which needs this file

    number = read_parsed(objects, FORMAT_KEY, lambda data: _format_of(data, place))
    if number is None:
        return False
    if number != FORMAT:
        raise DataError(f"{place} has format {number!r}, this nightloop reads format {FORMAT}; use a newer nightloop")
    return True


def _format_of(data: bytes, place: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(data)["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{FORMAT_KEY} of {place} is damaged ({data[:60]!r}); is this a nightloop store?") from error


def mark_store(objects: Objects, place: str) -> None:
    """Write the format and the id of a new store. Other writers may do so at the same time.

    Raises DataError if it has records or blobs and no format: it was restored in part, and a night would begin a second history.
    """
    from nightloop.tasks.objects.pipelines import begin_record  # as above
    from nightloop.tasks.objects.store_id import ensure_store_id

    if check_format(objects, place):
        return
    parts = [key for folder in ("pipelines/", "blobs/") for key in objects.keys(folder)]
    if parts and not check_format(objects, place):
        raise DataError(
            f"{place} holds {parts[0]} and no {FORMAT_KEY}: it was restored in part, or its {FORMAT_KEY} was removed. Nothing was "
            f"changed. Run the restore again; if nothing else is missing, write {FORMAT_KEY} yourself: "
            f'{{"format":{FORMAT}}}'
        )
    begin_record(objects)  # before any other object: the record is complete only if the store is empty
    ensure_store_id(objects)
    objects.create(FORMAT_KEY, canonical_json({"format": FORMAT}))
    if not check_format(objects, place):
        raise DataError(f"{place} does not return an object that was just written; a store must read its own writes")


def probe_store(objects: Objects, place: str) -> None:
    """Test conditional writes as a promotion uses them. Raises DataError naming what the store does wrong."""
    key = f"probe/{uuid.uuid4().hex}"
    try:
        violations = _violations(objects, key)
    finally:
        objects.remove(key)
    if objects.read(key) is not None:
        violations.append("an object that was removed still exists")
    if violations:
        raise DataError(
            f"{place} does not honour conditional writes: {'; '.join(violations)}. Two writers could overwrite each other. "
            "Use a store that honours If-None-Match and If-Match (AWS S3, Ceph RGW, SeaweedFS, Garage), or a directory."
        )


def _violations(objects: Objects, key: str) -> list[str]:
    violations = []
    if objects.swap(key, b"0", '"d41d8cd98f00b204e9800998ecf8427e"'):
        violations.append("it replaced an object that did not exist (If-Match ignored)")
        objects.remove(key)
    if not objects.create(key, b"1"):
        violations.append("it refused to create a new object")
    if objects.create(key, b"2"):
        violations.append("it created the same object twice (If-None-Match ignored)")
    stored = objects.read(key)
    if stored is None or stored[0] != b"1":
        violations.append("it does not read back what was written")
        return violations
    if not objects.swap(key, b"3", stored[1]):
        violations.append("it refused a replacement with the right ETag")
    if objects.swap(key, b"4", stored[1]):
        violations.append("it replaced an object that had changed (If-Match ignored)")
    return violations
