"""JSON lines: one object a line, read out-of-core, every line that is not an object is reported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.csv_cleaner import rejected_rows
from nightloop.tasks.formats.file_columns import (
    MayLack,
    check_columns,
    check_time,
    deletion_marks,
    id_columns,
    no_column,
    similar_name,
    without_marks,
)  # fmt: skip
from nightloop.tasks.formats.file_head import check_head
from nightloop.tasks.formats.path_columns import in_path, with_path_columns
from nightloop.tasks.formats.select_files import name_files
from nightloop.tasks.lake.batches import WIDEST
from nightloop.tasks.lake.incoming import LINE, nested_values
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

HEAD = 1000  # objects that are looked at first
ALL = 2**62
# Numbers that C's %g and Lua's cjson shortened, 1.23457e+12: an id of so many digits has other ones, and a time is minutes off.
SHORT_ID, SHORT_TIME = r"-?[0-9][.][0-9]*[1-9][0-9]*[eE][+]", r"[0-9](?:[.][0-9]{1,6})?[eE][+]"
NO_KEY: Mapping[str, Any] = {"nested": False, "twice": False, "beside": False}


def read_json_lines(
    warehouse: Warehouse, files: Sequence[str], columns: Columns, wanted: Sequence[str], timed: bool,
    may_lack: MayLack = no_column,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """The values `wanted` of every line as text, and if `timed` its time as `_micros`; a line that is not an object, that
    holds a list or an object instead of a wanted value, that has a wanted key twice or in another case, an id with more
    digits than are kept of a number of JSON, or an id or a time with fewer than it has, as `_line`, all else null.

    Raises DataError with the file's name if it is cut off, holds no object, lacks a key that is wanted or holds lists or
    objects there from its first lines on.
    """
    single = [
        name for name in columns.names if name not in columns.multi_value
    ]  # those that may hold no list and no object
    found: list[str] = []
    beside: set[str] = set()  # keys that objects have beside one that differs in case alone
    for file in files:
        keys = _keys(warehouse, file, HEAD)
        if any(name not in keys and name not in in_path(file) and not may_lack(name) for name in wanted):
            late = _keys(warehouse, file, ALL)  # a key that comes late is judged line by line, not for the file
            keys |= {name: {**NO_KEY, "example": None} for name in late if name not in keys}
        check_columns(file, [*keys], wanted, may_lack)
        found += keys
        check_time(file, keys, columns)
        for name in wanted:
            key = keys.get(name, NO_KEY)
            if key["twice"]:
                raise DataError(
                    f"{file} has the key {name[:60]!r} twice in one object, and readers differ in which of the two they take: write it "
                    "once"
                )
            beside |= {name} if key["beside"] else set()
            if (other := similar_name(name, keys)) and not key["beside"]:
                raise DataError(
                    f"{file} has the key {name[:60]!r} in some objects and {other[:60]!r} in others: give it one name"
                )
            if key["nested"] and name in single:
                raise DataError(nested_values(file, name, key["example"]))
    marks = deletion_marks(found, wanted, columns)
    asked = [*wanted, *marks]
    pointers = {name: "/" + name.replace("~", "~0").replace("/", "~1") for name in asked}
    parameters = {
        "pointers": list(pointers.values()), "time": pointers[columns.time], "unit": columns.time_writing, "timed": timed,
        "names": [name for name in wanted if name not in beside],
        "ids": [pointers[name] for name in id_columns(columns) if name in pointers],
        "shortened": [_key_with(columns.time, SHORT_TIME), *(_key_with(name, SHORT_ID) for name in (columns.user, columns.item))],
        "most": WIDEST,
        "single": [pointer for name, pointer in pointers.items() if name in single],
    }  # fmt: skip
    for constant, group in groupby(files, key=in_path):
        for batch in warehouse.scan(
            ("ingest/read_json_lines", {**parameters, "files": list(group)}), ("ingest/rejected_lines", {})
        ):
            if "error" in batch.schema.names:
                lines = [(line["file"], line["line"], line["message"], line["text"]) for line in batch.to_pylist()]
                yield rejected_rows(lines, wanted)
            else:
                rows = with_path_columns(_split_values(batch, asked), asked, constant, columns.time)
                yield from without_marks((rows,), marks, name_files(files))


def _key_with(name: str, value: str) -> str:
    """A regular expression for a key of this name with such a value."""
    return rf"{re.escape(json.dumps(name, ensure_ascii=False))}\s*:\s*{value}"


def json_keys(warehouse: Warehouse, file: str, whole: bool = False) -> list[str]:
    """The keys of a file's first thousand objects, of all if its `whole` is asked for: events of a kind may come late.

    Raises DataError if the file is cut off or has no object.
    """
    return [*_keys(warehouse, file, ALL if whole else HEAD)]


def _keys(warehouse: Warehouse, file: str, most: int) -> dict[str, Mapping[str, Any]]:
    """The keys of a file's first objects, with what `json_keys.sql` says of each."""
    check_head(warehouse, file)
    batches = warehouse.scan(("ingest/json_keys", {"files": [file], "most": most}))
    keys = [row for batch in batches for row in batch.to_pylist()]
    if not keys:
        raise DataError(
            f"{file} has no line that is a JSON object: one object a line is wanted. Of a JSON array, or of objects in one "
            "line or over several, jq -c '.[]' or jq -c . makes that; Python's json.dumps writes it, and print does not; UTF-16 has to "
            "become UTF-8"
        )
    return {row["name"]: row for row in keys}


def _split_values(batch: pa.RecordBatch, wanted: Sequence[str]) -> pa.RecordBatch:
    lists = batch.column("found")
    values = {name: pc.list_element(lists, position) for position, name in enumerate(wanted)}
    return pa.RecordBatch.from_pydict({**values, "_micros": batch.column("_micros"), LINE: batch.column(LINE)})
