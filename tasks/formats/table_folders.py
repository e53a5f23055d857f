"""Table folders: Parquet files that belong to a table of Delta Lake, Hudi, Iceberg or DuckLake, which plain files are not.

The log of such a table says which of its files are valid and which of their rows were deleted. If all files are read
as they are, rows come back that were deleted or replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from nightloop.tasks.lake.file_names import escape_name
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# For each kind of table: the folder in it that holds its log, and how a file of the log is named.
LOGS = (
    ("Delta Lake", "_delta_log", re.compile(".+")),
    ("Hudi", ".hoodie", re.compile(".+")),
    ("Iceberg", "metadata", re.compile(rf"(?:v\d+|\d+-{UUID})(?:\.gz)?\.metadata\.json(?:\.gz)?")),
)
DUCKLAKE = re.compile(rf"ducklake-{UUID}(?:-delete)?\.parquet")


def refuse_tables(warehouse: Warehouse, files: Sequence[str]) -> None:
    """Raise DataError if a Parquet file among these belongs to a table.

    On S3, where each look is a request, only the folders above the first and the last file are looked at.
    """
    tables = [file for file in files if file.endswith(".parquet")]
    for file in tables:
        if DUCKLAKE.fullmatch(PurePosixPath(file).name):
            raise DataError(_table_message(file, "DuckLake", os.path.dirname(file)))
    remote = "://" in (tables or [""])[0]
    looked_at: set[str] = set()
    for file in {tables[0]: None, tables[-1]: None} if remote else tables:
        for folder in _folders_above(file, looked_at):
            for kind, log, name in LOGS:
                place = f"{folder}/{log}"
                if any(map(name.fullmatch, _names_on_s3(warehouse, place) if remote else _names_on_disk(place))):
                    raise DataError(_table_message(file, kind, folder))


def _table_message(file: str, kind: str, folder: str) -> str:
    return (
        f"{file!r} belongs to the {kind} table {folder!r}. The log of the table says which files and rows are valid, and it is not "
        "read here: rows that were deleted or replaced would come back. Write the table as plain Parquet files to another folder, "
        "with a program that reads such tables, and name those files in the source's `path`"
    )


def _folders_above(file: str, looked_at: set[str]) -> Iterator[str]:
    """The folders above a file that are not in `looked_at` yet, the nearest first; they are added to it."""
    folder = os.path.dirname(file if "://" in file else os.path.abspath(file))
    while folder not in looked_at and not folder.endswith(("/", ":")):
        looked_at.add(folder)
        yield folder
        folder = os.path.dirname(folder)


def _names_on_disk(folder: str) -> list[str]:
    with suppress(OSError):  # there is no such folder, or it may not be read
        return os.listdir(folder)
    return []


def _names_on_s3(warehouse: Warehouse, folder: str) -> list[str]:
    batches = warehouse.scan(("ingest/found_files", {"pattern": f"{escape_name(folder)}/*"}))
    return [name.rpartition("/")[2] for batch in batches for name in batch.column("file").to_pylist()]
