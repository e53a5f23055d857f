"""Table folders: files whose validity a log decides: those of Delta Lake, Hudi, Iceberg, Paimon, Hive and DuckLake, and of Spark.

The log of a table says which of its files are valid and which of their rows were deleted. If all files are read as they
are, rows come back that were deleted or replaced. The log of a stream names all files that it wrote to the end, and
Databricks notes each write and the files that it replaced.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import unquote

from nightloop.tasks.formats.decompress import unpacked_pieces
from nightloop.tasks.lake.file_names import escape_name
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# For each kind of table: the folder in it that holds its log, and how a file of the log is named.
LOGS = (
    ("Delta Lake", "_delta_log", re.compile(".+")),
    ("Hudi", ".hoodie", re.compile(".+")),
    ("Paimon", "snapshot", re.compile(r"snapshot-\d+")),
    ("Iceberg", "metadata", re.compile(rf"(?:v\d+|\d+-{UUID})(?:\.gz)?\.metadata\.json(?:\.gz)?")),
)
STREAM = "_spark_metadata"  # the log of a stream of Spark
NAMES = re.compile(r'"path":"[^"]*?([^"/]*)"')  # of files, in that log
HIVE = re.compile(
    r"(.+)/(?:base|delta|delete_delta)_\d{7,}(?:_v?\d+)*/.*"
)  # a file of a transaction, in the folder of its table
COMMITS = re.compile(r"_committed_(\d+)")  # the notes of Databricks' writes
WRITER = re.compile(r"-tid-(\d+)-")  # which of them wrote a file
DUCKLAKE = re.compile(rf"ducklake-{UUID}(?:-delete)?\.parquet")


def refuse_tables(warehouse: Warehouse, files: Sequence[str]) -> None:
    """Raise DataError if a Parquet file among these belongs to a table, or a file was left by a write that failed or was replaced."""
    _refuse_failed_writes(warehouse, files)
    _refuse_replaced_files(warehouse, files)
    if hive := next(filter(None, map(HIVE.fullmatch, files)), None):
        raise DataError(_table_message(hive[0], "Hive", hive[1]))
    tables = [file for file in files if file.endswith(".parquet")]
    for file in tables:
        if DUCKLAKE.fullmatch(PurePosixPath(file).name):
            raise DataError(_table_message(file, "DuckLake", os.path.dirname(file)))
    looked_at: set[str] = set()
    for file in _files_to_check(tables):
        for folder in _folders_above(file, looked_at):
            for kind, log, name in LOGS:
                if any(map(name.fullmatch, _names_in(warehouse, f"{folder}/{log}"))):
                    raise DataError(_table_message(file, kind, folder))


def _refuse_failed_writes(warehouse: Warehouse, files: Sequence[str]) -> None:
    """Raise DataError if a stream of Spark left a file behind that its log does not name: its rows are in another file too."""
    looked_at: set[str] = set()
    for first in _files_to_check(files):
        for folder in _folders_above(first, looked_at):
            log = f"{folder}/{STREAM}"
            parts = [name for name in _names_in(warehouse, log) if name.partition(".")[0].isdigit()]
            known = {unquote(path) for part in parts for path in NAMES.findall(_read_text(warehouse, f"{log}/{part}"))}
            left = (
                file
                for file in files
                if _absolute_path(file).startswith(f"{folder}/") and os.path.basename(file) not in known
            )
            if parts and (file := next(left, "")):
                raise DataError(
                    f"{file!r} is of a write of Spark that failed or is not finished: the log {log!r} does not name it. If the write "
                    "failed, the rows are in another file too: remove this one, or write the data again into another folder"
                )


def _refuse_replaced_files(warehouse: Warehouse, files: Sequence[str]) -> None:
    """Raise DataError if Databricks did not commit the write that a file is of, or a later one replaced the file."""
    written = [file for file in files if WRITER.search(os.path.basename(file))]
    for folder in dict.fromkeys(map(os.path.dirname, _files_to_check(written))):
        names = _names_in(warehouse, folder)
        commits = {found[1]: f"{folder}/{found[0]}" for found in map(COMMITS.fullmatch, names) if found}
        if not any(name.startswith(("_committed_", "_started_")) for name in names):
            continue
        replaced = {name for file in commits.values() for name in _removed_in(_read_text(warehouse, file))}
        for file in (file for file in written if os.path.dirname(file) == folder):
            writer, name = WRITER.search(os.path.basename(file)), os.path.basename(file)
            if writer and (writer[1] not in commits or name in replaced):
                raise DataError(
                    f"{file!r} is of a write of Databricks that failed, is not finished or was replaced: so say the files _committed_* "
                    f"in {folder!r}. Its rows are in other files too, or should be in none: run VACUUM there, or write the data again "
                    "into another folder"
                )


def _removed_in(text: str) -> list[str]:
    """The files that a write of Databricks replaced, of its note in JSON."""
    with suppress(ValueError):
        note = json.loads(text)
        if isinstance(note, dict) and isinstance(note.get("removed"), list):
            return [str(name) for name in note["removed"]]
    return []


def _files_to_check(files: Sequence[str]) -> Sequence[str]:
    """The files whose folders are looked at: on S3, where each look is a request, the first and the last."""
    return list(dict.fromkeys((files[0], files[-1]))) if files and "://" in files[0] else files


def _absolute_path(file: str) -> str:
    return file if "://" in file else os.path.abspath(file)


def _read_text(warehouse: Warehouse, file: str) -> str:
    return b"".join(unpacked_pieces(file, warehouse.open_file)).decode(errors="replace")


def _table_message(file: str, kind: str, folder: str) -> str:
    return (
        f"{file!r} belongs to the {kind} table {folder!r}. The log of the table says which files and rows are valid, and it is not "
        "read here: rows that were deleted or replaced would come back. Write the table as plain Parquet files to another folder, "
        "with a program that reads such tables, and name those files in the source's `path`"
    )


def _folders_above(file: str, looked_at: set[str]) -> Iterator[str]:
    """The folders above a file that are not in `looked_at` yet, the nearest first; they are added to it."""
    folder = os.path.dirname(_absolute_path(file))
    while folder not in looked_at and not folder.endswith(("/", ":")):
        looked_at.add(folder)
        yield folder
        folder = os.path.dirname(folder)


def found_files(warehouse: Warehouse, pattern: str) -> list[str]:
    """The files on disk or on S3 that match a pattern, as DuckDB finds them."""
    batches = warehouse.scan(("ingest/found_files", {"pattern": pattern}))
    return [name for batch in batches for name in batch.column("file").to_pylist()]


def _names_in(warehouse: Warehouse, folder: str) -> list[str]:
    """The names in a folder; none if there is no such folder, or it may not be read."""
    if "://" in folder:
        return [name.rpartition("/")[2] for name in found_files(warehouse, f"{escape_name(folder)}/*")]
    with suppress(OSError):
        return os.listdir(folder)
    return []
