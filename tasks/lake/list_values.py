"""List values: the values of a row that has several, as lists of Parquet and JSON, as JSON in a text, or as text with | between them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.lake.values import BETWEEN, BLANKS, MISSING, as_ids

NO_LIST = f'no list that can be read; write {BETWEEN} between the values, or a JSON list of texts, ["a", "b"]'
TORN = f"a value has a {BETWEEN}, which separates values; use another character in it"


def join_lists(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The batch with each list of these columns joined to one text, with | between its values; and the rows whose list cannot be read,
    with what is wrong: a single value that a stranger wrote stops no night."""
    wrong: dict[int, str] = {}
    for name in names:
        index = batch.schema.get_field_index(name)
        if index < 0:
            continue  # said where the column is taken
        values = batch.column(index)
        lists, unreadable = _parse_lists(values)
        if lists is None:
            continue
        parts = pc.fill_null(as_ids(lists.values, name), MISSING)
        texts = pc.binary_join(pa.ListArray.from_arrays(lists.offsets, parts), BETWEEN)
        most = pc.subtract(
            pc.max_element_wise(pc.list_value_length(lists), 1), 1
        )  # separators of a list without its own
        torn = pc.indices_nonzero(pc.greater(pc.count_substring(texts, BETWEEN), most)).to_pylist()
        wrong |= {row: f"column {name[:60]!r}, {NO_LIST}: {values[row].as_py()!s:.1000}" for row in unreadable}
        wrong |= {row: f"column {name[:60]!r}, {TORN}: {values[row].as_py()!s:.1000}" for row in torn}
        batch = batch.set_column(index, name, texts)
    return batch, wrong


def _parse_lists(values: pa.Array) -> tuple[pa.Array | None, list[int]]:
    """The lists of a column, and the rows whose list cannot be read: null there. They are of a list type, or parsed from
    texts; None: the column has other values."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if hasattr(values.type, "value_type"):
        return values.cast(pa.list_(values.type.value_type)), []
    if not pa.types.is_string(values.type):
        return None, []
    if not pc.any(pc.match_substring_regex(values, r"^\s*[\[{]")).as_py():
        return pc.split_pattern(pc.utf8_trim(values, BLANKS + BETWEEN), BETWEEN), []
    texts = values.to_pylist()
    rows = [None if text is None else _parse_values(text) for text in texts]
    unreadable = [n for n, (text, row) in enumerate(zip(texts, rows, strict=True)) if row is None and text is not None]
    return pa.array(rows, pa.list_(pa.string())), unreadable


def _parse_values(text: str) -> list[str | None] | None:
    """The values in one text; None if it is a list that is not JSON, or if it holds lists or objects."""
    if not text.lstrip().startswith(("[", "{")):
        return list(text.strip(BLANKS + BETWEEN).split(BETWEEN))
    try:
        values = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        json.dumps(values, ensure_ascii=False).encode()  # a ValueError for half a character, \ud800
    except (
        ValueError,
        RecursionError,
    ):  # [sic] x is a text; [Action] of Java, {Action} of PostgreSQL and [1 2] of numpy are lists
        is_text = any(map(str.isalpha, text)) and not {*text} & {*"'\","} and not text.rstrip().endswith(("]", "}"))
        values = [text] if is_text else None
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        return None
    return [str(value).lower() if isinstance(value, bool) else value for value in values]
