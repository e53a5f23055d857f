"""Incoming rows: the batches of a source as one stream with the lake's column names and a number for each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.clock_changes import clock_changes
from nightloop.tasks.lake.list_values import join_lists
from nightloop.tasks.lake.values import WHOLE_WORDS, WORDS, as_ids, as_number
from nightloop.tasks.plan.errors import DataError, NightloopError
from nightloop.tasks.plan.plan import Columns

ROLES = ("time", "user", "item", "label", "served")
RESERVED = (*ROLES, "period", "version", "arrival", "_key", "_line", "_none", "_row", "_raw", "_reasons", "_found",
            "_words", "_values", "_micros", "_mark", "_instant")  # fmt: skip
LINE = "_line"  # for a row that a source could not parse: this column holds its text, the others are null
INSTANT = "_instant"  # for a row of the lake that is staged again: its time, where that was read before
PRIVATE = '{"arrival":null,"_key":null,"_none":null,"_instant":null}'  # a JSON patch (RFC 7396) that removes fields that are not content
LONGEST = 255  # bytes of a column's name
FIRST_DAY, LAST_DAY = -719_162, 2_932_896  # since 1970: of the years 1 and 9999


@dataclass(frozen=True)
class IncomingRows:
    """A stream ready for the warehouse. `words` are those `numbers` that came as text."""

    reader: pa.RecordBatchReader
    texts: tuple[str, ...]  # the plan's own columns that stay text
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    failures: list[Exception]  # what the source raised during the stream: the stream's own error does not contain it

    @property
    def names(self) -> list[str]:
        """The columns of a row's content."""
        return ["time", "user", "item", *self.texts, *self.numbers]


def incoming_rows(batches: Iterable[pa.RecordBatch], columns: Columns) -> IncomingRows:
    """Rename, number and check rows in a stream.

    Raises DataError if a column of the plan is missing, has a name that is reserved for the lake, or holds nested values.
    """
    others = {columns.user, columns.item, columns.time, columns.label, columns.logged_probability, *columns.numeric}
    texts = tuple(dict.fromkeys(name for name in (*columns.categorical, *columns.key) if name not in others))
    check_names((*texts, *columns.numeric))
    numbers = ("label", *(["served"] if columns.logged_probability else []), *columns.numeric)
    stream = _read_batches(batches)
    first = next(stream, None)
    if first is None:  # a delivery without a row
        first = pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in columns.names})
    head = _lake_columns(first, columns, texts, 0)
    words = tuple(name for name in numbers if pa.types.is_string(head.schema.field(name).type))
    failures: list[Exception] = []
    numbered = _number_rows(chain([first], stream), head.schema, columns, texts)
    reader = pa.RecordBatchReader.from_batches(head.schema, _collect_failures(numbered, failures))
    return IncomingRows(reader, texts, numbers, (*words, "_none"), failures)


def _read_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches. A library's ValueError, such as Arrow's, is about the file, so it becomes a DataError."""
    try:
        yield from batches
    except ValueError as error:
        if isinstance(error, NightloopError):
            raise
        raise DataError(str(error)) from error


def _collect_failures(batches: Iterable[pa.RecordBatch], failures: list[Exception]) -> Iterator[pa.RecordBatch]:
    """The same batches; an exception is added to `failures`."""
    try:
        yield from batches
    except Exception as error:
        failures.append(error)
        raise


def check_names(names: Iterable[str]) -> None:
    """Raise DataError for names of columns that the lake cannot have, with the reason."""
    seen: dict[str, str] = {}
    for name in names:
        plain = name.casefold()
        if plain in RESERVED:
            raise DataError(
                f"column {name!r} has a name that is reserved for the lake ({', '.join(RESERVED[:8])}): rename it at "
                f"the source"
            )
        if len(name.encode()) > LONGEST or not name.isprintable() or not name:
            raise DataError(
                f"column {name[:60]!r}: a name has 1 to {LONGEST} bytes that can be printed, this one "
                f"{len(name.encode()):,}"
            )
        if plain in seen:
            raise DataError(
                f"columns {seen[plain]!r} and {name!r} differ only in upper and lower case: rename one at the source"
            )
        seen[plain] = name


def _number_rows(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, columns: Columns, texts: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    arrived = 0
    for batch in batches:
        renamed = _lake_columns(batch, columns, texts, arrived)
        arrived += batch.num_rows
        yield renamed if renamed.schema.equals(schema) else _cast_to_first(renamed, schema)


def _cast_to_first(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the types that the first one had. Raises DataError if its values do not fit."""
    first, now = schema.field("time").type, batch.schema.field("time").type
    if (
        first != now
        and not pa.types.is_string(first)
        and not (pa.types.is_temporal(first) and pa.types.is_temporal(now))
    ):
        raise DataError(
            f"the files write their times in two types: first {first}, then {now}. Deliver them all in one type, or each type "
            "under its own path"
        )
    try:
        return batch.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(
            f"the source changed the types of its columns between batches: first {_types(schema)}, then "
            f"{_types(batch.schema)} ({error}); "
            "deliver such a column as text"
        ) from error


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)[:500]


def _lake_columns(batch: pa.RecordBatch, columns: Columns, texts: tuple[str, ...], arrived: int) -> pa.RecordBatch:
    """The plan's columns of one batch under the lake's names; ids and categories as text."""
    _refuse_other_columns(batch, columns)
    batch, wrong = join_lists(batch, columns.multi_value)
    wrong |= clock_changes(flat_column(batch, columns.time), columns.time_writing)
    times, beyond = _dates_to_times(flat_column(batch, columns.time))
    wrong |= beyond
    batch, size = _with_lines(batch, wrong), batch.num_rows
    none = pa.nulls(size, pa.string())
    arrays: dict[str, pa.Array] = {
        "arrival": pa.array(np.arange(arrived, arrived + size, dtype=np.int64)),
        "time": times,
        "user": as_ids(flat_column(batch, columns.user), columns.user),
        "item": as_ids(flat_column(batch, columns.item), columns.item),
        "label": _number_column(batch, columns.label) if columns.label else none,
    }
    if columns.logged_probability:
        arrays["served"] = _number_column(batch, columns.logged_probability)
    arrays |= {name: as_ids(flat_column(batch, name), name) for name in texts}
    arrays |= {name: _number_column(batch, name, WHOLE_WORDS) for name in columns.numeric}
    arrays["_key"] = _key([as_ids(flat_column(batch, name), name) for name in columns.key]) if columns.key else none
    arrays["_line"] = batch.column(LINE) if LINE in batch.schema.names else none
    known = batch.column(INSTANT) if INSTANT in batch.schema.names else pa.nulls(size, pa.timestamp("us", tz="UTC"))
    return pa.RecordBatch.from_pydict({**arrays, "_none": none, INSTANT: known})


def _refuse_other_columns(batch: pa.RecordBatch, columns: Columns) -> None:
    """Raise DataError if a row holds the columns' names again, and some of them moved or changed: files were joined, and what follows
    is in the wrong columns."""
    times = flat_column(batch, columns.time)
    if not pa.types.is_string(times.type):
        return
    for row in batch.filter(pc.ends_with(times, columns.time)).slice(0, 1000).to_pylist():
        again = {name: value.strip() for name, value in row.items() if isinstance(value, str) and value.strip()}
        same = [name for name, value in again.items() if value == name]
        for name, value in again.items() if columns.time in same else ():
            if value != name and (value in row or len(same) > 1):
                raise DataError(
                    f"the source: a row holds the names of the columns again, and {value[:60]!r} where {name[:60]!r} stood. If it is "
                    "the first line of a file, set the source's option `header: true`. Else files were joined whose columns differ, so "
                    "that values would be read in the wrong columns: deliver each as a file of its own"
                )


def _with_lines(batch: pa.RecordBatch, wrong: Mapping[int, str]) -> pa.RecordBatch:
    """The batch with what is wrong with some of its rows in the column `LINE`: these are put aside."""
    if not wrong:
        return batch
    found = pa.array([wrong.get(row) for row in range(batch.num_rows)], pa.string())
    index = batch.schema.get_field_index(LINE)
    if index < 0:
        return batch.append_column(LINE, found)
    return batch.set_column(index, LINE, pc.coalesce(batch.column(index), found))


def _dates_to_times(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Dates as times at midnight, because other files of the delivery may have times in this column; and the rows whose date is none of
    the years 1 to 9999, such as infinity of PostgreSQL, with what is wrong."""
    if not pa.types.is_date(values.type):
        return values, {}
    days = values.cast(pa.date32()).cast(pa.int32())
    here = pc.and_(pc.greater_equal(days, FIRST_DAY), pc.less_equal(days, LAST_DAY))
    rows = pc.indices_nonzero(pc.fill_null(pc.invert(here), False)).to_pylist()
    times = pc.if_else(here, days, None).cast(pa.date32()).cast(pa.timestamp("us"))
    return times, {
        row: f"its date is infinite, or of no year from 1 to 9999: {days[row]} days since 1970" for row in rows
    }


def nested_values(file: str, name: str, example: str) -> str:
    """The message for a column that holds lists, objects or bytes instead of one value."""
    if example.startswith(("{", "struct", "map")):
        return (
            f"{file}: column {name[:60]!r} does not hold one value a row, but an object, {example[:80]}. Write its parts as "
            "separate columns (jq: .user = .user.id; SQL: user.id AS user)"
        )
    return (
        f"{file}: column {name[:60]!r} does not hold one value a row, but {example[:80]}. Write one row for each value (UNNEST in "
        "SQL, explode in pandas and Spark), or, for a list of categories, give it in the plan's `columns` as `multi_value: {NAME: 5}`, "
        "the most values to keep; bytes become text by a cast"
    )


def flat_column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """One column, decoded. Raises DataError if it is missing, not unique or nested."""
    if batch.schema.names.count(name) != 1:
        how = "two columns" if name in batch.schema.names else "no column"
        present = ", ".join(repr(n[:60]) for n in batch.schema.names[:40])
        raise DataError(
            f"the source has {how} {name[:60]!r}; it has {present}: name the right one in the plan's columns"
        )
    values = batch.column(name)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        raise DataError(nested_values("the source", name, str(values.type)))
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    return pa.nulls(len(values), pa.string()) if pa.types.is_null(values.type) else values


def _number_column(batch: pa.RecordBatch, name: str, words: Mapping[str, str] = WORDS) -> pa.Array:
    """A column of numbers. Raises DataError if it holds times: these are numbers only in a unit, which nothing says here."""
    values = flat_column(batch, name)
    if pa.types.is_temporal(values.type):
        raise DataError(
            f"the source: the column {name[:60]!r} holds {values.type}, and a number is wanted: write it as one, such as seconds"
        )
    return as_number(values, words)


def _key(parts: list[pa.Array]) -> pa.Array:
    """The key of a row as one text: each part is preceded by its length, so that different keys are different texts."""
    marked = [pc.binary_join_element_wise(pc.binary_length(part).cast(pa.string()), part, ":") for part in parts]
    return pc.binary_join_element_wise(*(pc.fill_null(part, "-") for part in marked), " ")
