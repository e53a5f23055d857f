"""Sealed records: values that are stored as one line of JSON with its checksum, verified when they are read."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from nightloop.tasks.objects.checksum import seal, unseal
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.frozen import Frozen
from nightloop.tasks.plan.plan import canonical_json

Record = TypeVar("Record", bound=Frozen)


def seal_record(record: Frozen) -> bytes:
    """The bytes of a record; equal records have equal bytes. Raises DataError if a text in it is not Unicode."""
    try:
        return seal(canonical_json(record.model_dump(mode="json")))
    except UnicodeEncodeError as error:
        text = error.object[max(error.start - 20, 0) : error.end]
        raise DataError(
            f"a text cannot be kept in the record: it holds bytes that are not UTF-8, after {text!a}. Nothing was written; "
            "write it in UTF-8, as the terminal of most systems does"
        ) from None


def unseal_record(kind: type[Record], key: str, sealed: bytes, what: str) -> Record:
    """The record in these bytes. Raises DataError if they were changed, or are not `what`, such as `a lease`."""
    try:
        return kind.model_validate_json(unseal(key, sealed))
    except ValidationError as error:
        raise DataError(f"{key} is not {what} that this nightloop reads: {error}") from error


def read_record(objects: Objects, key: str, kind: type[Record], what: str) -> Record | None:
    """The record of this key, or None. Raises as `unseal_record`, if repeated reads show it damaged."""
    return read_parsed(objects, key, lambda sealed: unseal_record(kind, key, sealed, what))


def read_sealed(objects: Objects, key: str) -> bytes | None:
    """The sealed bytes of this key, or None. Raises DataError if repeated reads show them damaged."""
    return read_parsed(objects, key, lambda sealed: unseal(key, sealed))
