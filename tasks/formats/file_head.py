"""The head of a text file: its first lines, and the encoding that its first bytes name."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import islice

from nightloop.tasks.formats.decompress import check_text, text_lines, unpacked_pieces
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError

HEAD = 32  # pieces that are looked at if only the first rows are wanted
MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # a file that begins so says its encoding


def first_lines(warehouse: Warehouse, file: str, encoding: str = "utf-8") -> list[str]:
    """A text file's first lines, a hundred at most. Raises DataError if it is empty, cut off or has an endless line."""
    if check_head(warehouse, file):
        lines = list(islice(text_lines(file, encoding, warehouse.open_file), 100))
    else:
        lines = [(line or "").removeprefix("\ufeff")
                 for batch in warehouse.scan(("ingest/first_lines", {"file": file, "encoding": encoding}))
                 for line in batch.column("line").to_pylist()]  # fmt: skip
    if not any(line.strip() for line in lines):
        raise DataError(f"{file} is empty: a csv file begins with the columns' names")
    if _is_utf8("\n".join(lines), encoding):
        raise DataError(
            f"{file} is written in utf-8, and the source's option `encoding` is {encoding}: leave the option out"
        )
    return lines


def _is_utf8(text: str, encoding: str) -> bool:
    """Whether text that was read in an encoding of one byte a letter was written in utf-8, in which letters have several."""
    single = encoding != "utf-8" and len(bytes(range(256)).decode(encoding, "replace")) == 256
    if not single or text.isascii():
        return False
    try:
        text.encode(encoding, "surrogateescape").decode("utf-8")
    except UnicodeError:
        return False
    return True


def check_head(warehouse: Warehouse, file: str) -> bool:
    """Whether a file was checked: it can be only if it is read without DuckDB. Raises DataError as `check_text` does."""
    direct = _read_directly(warehouse, file)
    if direct:
        check_text(file, warehouse.head, warehouse.open_file)
    return direct


def _read_directly(warehouse: Warehouse, file: str) -> bool:
    """Whether a file can be read without DuckDB."""
    return "://" not in file or (file.startswith("s3://") and warehouse.remote is not None)


def head_pieces(warehouse: Warehouse, file: str) -> Iterator[bytes]:
    """What a file holds, unpacked, or its first bytes if only those are wanted; nothing if only DuckDB can read it."""
    most = HEAD if warehouse.head else None
    return islice(unpacked_pieces(file, warehouse.open_file), most) if _read_directly(warehouse, file) else iter(())


def encoding_of(warehouse: Warehouse, file: str) -> str:
    """The encoding that a file's first bytes name; utf-8 if they name none."""
    try:
        head = next(head_pieces(warehouse, file), b"")[:4]
    except DataError:
        check_head(warehouse, file)  # it says so if a file is none of what its name says
        raise
    return next((name for mark, name in MARKS if head.startswith(mark)), "utf-8")
