"""Records: what was served, and what came of it, as JSON lines a day, for the next night to collect.

A line of `served/` is one row of one answer; a line of `labelled/` is the same with its label, written when that comes,
into the file of the day on which the row was served. Keys are the plan's own column names for user, item, time, label and
features, so that a `files` source reads `labelled/{period}.jsonl` under the plan as it stands; besides:

    request     the request's id                     place   the row's position in it
    prediction  the probability or score served      base    the model's own, before correctors
    version     the champion: period/strategy/weights

`prediction` is called as `columns.served` says where the plan names it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import BufferedWriter
from pathlib import Path

import orjson

from tasks.plan.plan import Plan
from tasks.serving.book import Page

OPEN = 4  # files that stay open: today's, and those of the days whose labels come late
UNITS = {"s": 1e0, "ms": 1e3, "us": 1e6, "ns": 1e9}


class Records:
    """Two folders of JSON lines. Any number of threads may write; a line is on its way to the disk when `flush` ends."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """Raises ValueError where a column of the plan has the name of another part of a record."""
        self._folder, self._columns = folder, plan.columns
        columns = plan.columns
        self._prediction = columns.served or "prediction"
        taken = {"request", "place", self._prediction, "base", "version"}
        own = {columns.user, columns.item, columns.time, columns.label, *columns.categorical, *columns.numeric}
        if both := sorted(name for name in own if name in taken):
            raise ValueError(
                f"records of what is served have fields of their own called {', '.join(both)}: rename them"
            )
        self._lock = threading.Lock()
        self._open: dict[Path, BufferedWriter] = {}

    def served(self, request: str, page: Page) -> None:
        """Write every row of an answer."""
        self._write("served", page.when, self._lines(request, page, range(len(page.asked))))

    def labelled(self, rows: Iterable[tuple[str, Page, Sequence[int]]]) -> None:
        """Write rows whose labels have come."""
        for request, page, places in rows:
            lines = self._lines(request, page, places)
            if label := self._columns.label:
                lines = [
                    {**line, label: int(page.label[place] or 0)} for line, place in zip(lines, places, strict=True)
                ]
            self._write("labelled", page.when, lines)

    def flush(self) -> None:
        """Hand all lines to the system."""
        with self._lock:
            for file in self._open.values():
                file.flush()

    def close(self) -> None:
        """Flush and close."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _lines(self, request: str, page: Page, places: Sequence[int]) -> list[dict[str, object]]:
        columns, time = self._columns, _time(page.when, self._columns.time_unit)
        return [
            {
                columns.time: time, columns.user: user, columns.item: item, **features,
                "request": request, "place": place, self._prediction: page.prediction[place], "base": page.base[place],
                "version": page.version,
            }
            for place, (user, item, features) in zip(places, page.asked.rows(places), strict=True)
        ]  # fmt: skip

    def _write(self, kind: str, when: str, lines: Iterable[dict[str, object]]) -> None:
        text = b"".join(map(_encoded, lines))
        with self._lock:
            self._file(self._folder / kind / f"{when[:10]}.jsonl").write(text)

    def _file(self, path: Path) -> BufferedWriter:
        if path not in self._open:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[path] = path.open("ab")
            while len(self._open) > OPEN:
                self._open.pop(min(self._open)).close()
        return self._open[path]


def _encoded(line: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an id of more than 64 bits
        return json.dumps(line, default=str, ensure_ascii=False).encode() + b"\n"


def _time(when: str, unit: str) -> str | int:
    """An ISO time as the plan's source tells times: text, or a number since 1970."""
    return int(datetime.fromisoformat(when).timestamp() * UNITS[unit]) if unit in UNITS else when
