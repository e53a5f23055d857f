"""Serving log: what was served, and its labels, as JSON lines, one file a day, for the next night to collect.

A line of `served/` is one answer: what all its rows have in common once, and lists of what each row has of its own. A
line of `labelled/` is one row with its label, written when that comes, into the file of the day on which the row was
served. Keys are the plan's own column names for user, item, time, label and features, so that a `files` source reads
`labelled/{period}.jsonl` under the plan as it stands, or `labelled/*.jsonl` if periods are not days. `record_copies` copies
`labelled/` to a store on S3, for nights on other machines. Besides these keys there are:

    request     the request's id                     place   the row's position in it, of `labelled/` alone
    prediction  the probability or score served      base    the model's own, before correctors
    version     the champion: period/strategy/weights

`prediction` has the name that `columns.logged_probability` gives it, if the plan has that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import SEEK_END, BufferedWriter
from pathlib import Path

import orjson

from nightloop.tasks.plan.errors import DataError, StoreError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.serving.pending_labels import ScoredRequest

MOST = 50 * 10**9  # bytes of the records of a pipeline
RESERVE = 10**9  # bytes that records leave free on their disk, for the night and for all else
OPEN = 4  # files that stay open: today's, and those of the days whose labels come late
MICROSECONDS = {"s": 10**6, "ms": 10**3, "days": 86_400 * 10**6}  # of a unit
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServingLog:
    """Two folders of JSON lines, of at most `most` bytes. Any number of threads may write. A labelled row is on its way to
    the disk when it is written, an answer when `flush` ends."""

    def __init__(self, folder: Path, plan: Plan, most: int = MOST) -> None:
        """Raises DataError if a column of the plan has the name of another part of a record."""
        self._folder, self._columns, self._most = folder, plan.columns, most
        columns = plan.columns
        self._prediction = columns.logged_probability or "prediction"
        taken = {"request", "place", self._prediction, "base", "version"}
        plan_columns = {columns.user, columns.item, columns.time, columns.label, *columns.categorical, *columns.numeric}
        if conflicts := sorted(name for name in plan_columns if name in taken):
            raise DataError(
                f"records of what is served have fields of their own called {', '.join(conflicts)}: rename them"
            )
        self._lock = threading.Lock()
        self._open: dict[Path, BufferedWriter] = {}
        self._room: int | None = None  # bytes that may be written, when it was measured last

    def write_served(self, request: str, scored: ScoredRequest) -> None:
        """Write an answer. Raises StoreError if the records may not grow."""
        columns, inputs = self._columns, scored.inputs
        line = {
            columns.time: _time(scored.when, columns.time_writing), columns.user: _merge_equal(inputs.users),
            columns.item: list(inputs.items), **inputs.features, "request": request,
            self._prediction: list(scored.prediction), "base": list(scored.base), "version": scored.version,
        }  # fmt: skip
        self._write("served", scored.when, [line])

    def write_labelled(self, rows: Iterable[tuple[str, ScoredRequest, Sequence[int]]]) -> None:
        """Write rows whose labels have come. Raises StoreError if the records may not grow.

        A day whose file cannot be written costs no row of another day.
        """
        failures: list[OSError] = []
        for request, scored, positions in rows:
            lines = self._lines(request, scored, positions)
            if label := self._columns.label:
                lines = [
                    {**line, label: int(scored.label[position] or 0)}
                    for line, position in zip(lines, positions, strict=True)
                ]
            try:
                self._write("labelled", scored.when, lines)
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def flush(self) -> None:
        """Hand all lines to the system. Raises StoreError if the records may not grow any more."""
        with self._lock:
            self._measure()

    def close(self) -> None:
        """Flush and close."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _lines(self, request: str, scored: ScoredRequest, positions: Sequence[int]) -> list[dict[str, object]]:
        columns, time = self._columns, _time(scored.when, self._columns.time_writing)
        return [
            {
                columns.time: time, columns.user: user, columns.item: item, **features,
                "request": request, "place": position, self._prediction: scored.prediction[position], "base": scored.base[position],
                "version": scored.version,
            }
            for position, (user, item, features) in zip(positions, scored.inputs.rows(positions), strict=True)
        ]  # fmt: skip

    def _write(self, kind: str, when: str, lines: Iterable[dict[str, object]]) -> None:
        text = b"".join(map(_encode_line, lines))
        with self._lock:
            if self._room is None or self._room <= 0:
                self._measure()
            file = self._file(self._folder / kind / f"{when[:10]}.jsonl")
            file.write(text)
            if kind == "labelled":  # its label is answered next, and must outlive a kill -9
                file.flush()
            self._room = (self._room or 0) - len(text)

    def _measure(self) -> None:
        """Flush, and measure how much may be written. Raises StoreError if nothing may."""
        for file in self._open.values():
            file.flush()
        self._folder.mkdir(parents=True, exist_ok=True)
        size = sum(path.lstat().st_size for path in self._folder.glob("*/*.jsonl"))
        free = shutil.disk_usage(self._folder).free
        self._room = min(self._most - size, free - RESERVE)
        if self._room <= 0:
            raise StoreError(
                f"{self._folder} has {size:,} bytes of at most {self._most:,} (NIGHTLOOP_RECORDS), and its disk {free:,} "
                f"bytes free, of which {RESERVE:,} are left to others: remove files of days that no night needs any more"
            )

    def _file(self, path: Path) -> BufferedWriter:
        if path in self._open and not _is_at(path, self._open[path]):
            self._open.pop(path).close()  # somebody has moved or removed the file
        if path not in self._open:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[path] = _open_to_append(path)
        file = self._open[path] = self._open.pop(path)  # the last one is the one that was used last
        while len(self._open) > OPEN:
            self._open.pop(next(iter(self._open))).close()
        return file


def _is_at(path: Path, file: BufferedWriter) -> bool:
    """Whether the path still leads to the file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _open_to_append(path: Path) -> BufferedWriter:
    """The file, to be written at its end. If a crash left half a line, a line break ends it first."""
    file = path.open("ab")
    if file.tell():
        with path.open("rb") as existing:
            existing.seek(-1, SEEK_END)
            if existing.read() != b"\n":
                file.write(b"\n")
    return file


def _merge_equal(values: Sequence[object]) -> object:
    """A value that all rows have in common, or the list of them."""
    return values[0] if len(values) and all(value == values[0] for value in values) else list(values)


def _encode_line(line: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an id of more than 64 bits
        return json.dumps(line, default=str, ensure_ascii=False).encode() + b"\n"


def _time(when: str, writing: str) -> str | int | float:
    """An ISO time as the plan's source writes times, so that the lake reads it as the same instant: text, or a number
    since 1970. A format without an offset is written in UTC, as which the lake reads it."""
    at = datetime.fromisoformat(when)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if "%" in writing:
        codes = re.findall("%-?.", writing)
        return _format_time(at if "%z" in codes and "%Z" not in codes else at.astimezone(UTC), writing)
    micros = (at - EPOCH) // timedelta(microseconds=1)
    if writing in MICROSECONDS:
        return micros / MICROSECONDS[writing]
    return {"us": micros, "ns": micros * 1000}.get(writing, when)


def _format_time(at: datetime, form: str) -> str:
    """The time in the lake's format, in which %g are milliseconds and %n nanoseconds; Python's strftime has others."""
    own = {"%g": f"{at.microsecond // 1000:03d}", "%n": f"{at.microsecond * 1000:09d}"}
    return at.strftime(re.sub("%-?.", lambda code: own.get(code[0], code[0]), form))
