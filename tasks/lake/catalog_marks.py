"""Owners: the catalogs that know files of a lake's data place. Only the one that is alone there may remove files.

A catalog cannot see what another one needs: that of a copied home, or of a second database with the same `NIGHTLOOP_DATA`.
So each leaves a mark in the data place when it is opened, which names the catalog and the directory. Of a place within the
catalog's own home only marks that were left in this very directory count: a copy of a home has copies of the marks too.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.settings import Settings

FILE = " (file "  # between the place of a catalog and the number of its file
PLACE = " in directory "  # between a catalog and the number of the directory, in a mark


def leave_mark(warehouse: Warehouse, settings: Settings, pipeline: str) -> None:
    """Leave this catalog's mark in the data place, where it has none yet. Who may not write there leaves none."""
    catalog = _catalog(warehouse, settings, pipeline)
    file = f"{_marks(settings, pipeline)}/{hashlib.sha256(catalog.encode()).hexdigest()[:24]}.txt"
    with suppress(OSError):
        if "://" not in file:  # every command opens the lake: a file is looked for without a statement
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            catalog += _place(settings, pipeline)
            if Path(file).exists() and Path(file).read_text(encoding="utf-8").strip() == catalog:
                return
        elif warehouse.query("ingest/found_files", {"pattern": file}).num_rows:
            return
        warehouse.query("catalog/write_mark", {"mark": file, "catalog": catalog})


def removal_obstacle(warehouse: Warehouse, settings: Settings, pipeline: str, before: datetime) -> str:
    """Why this catalog may not remove files of the data place; empty where it may.

    It may where no other catalog has a mark, and its own is older than `before`: by then every other that is still in use
    has been opened, and has left one.
    """
    own, pattern = _catalog(warehouse, settings, pipeline), f"{_marks(settings, pipeline)}/*.txt"
    rows, within = warehouse.query("catalog/marks", {"pattern": pattern}).to_pylist(), _within_home(settings, pipeline)
    here = "" if "://" in settings.lake_place else _place(settings, pipeline)
    for row in rows:
        row["catalog"], sign, place = row["catalog"].partition(PLACE)
        other = row["catalog"] != own
        if within:  # copies of marks, and that of the file which this catalog replaced at its place, mean nothing
            other = sign + place == here and row["catalog"].partition(FILE)[0] != own.partition(FILE)[0]
        if other:
            return (
                f"another catalog knows files there too: {row['catalog']}. Give each catalog a NIGHTLOOP_DATA of its own; if "
                f"that one is gone for good, remove {row['mark']}"
            )
    since = next((row["since"] for row in rows if row["catalog"] == own), None)
    if within or (since and since <= before):
        return ""
    known = (
        f"only since {since:%Y-%m-%d}, and others that use the place must have time to be seen"
        if since
        else "by no mark"
    )
    return f"this catalog is known there {known}"


def _within_home(settings: Settings, pipeline: str) -> bool:
    """Whether the directory of the data lies in the home of its catalog, so that a copy of the home has a copy of it."""
    if settings.postgres or "://" in settings.lake_place:
        return False
    return (Path(settings.lake_place) / pipeline).resolve().is_relative_to(settings.home.resolve())


def _place(settings: Settings, pipeline: str) -> str:
    """The directory of the data in words that no other directory has, by whatever way it is reached."""
    return f"{PLACE}{(Path(settings.lake_place) / pipeline).stat().st_ino}"


def _marks(settings: Settings, pipeline: str) -> str:
    """Where the marks are: among the files that they speak of, whose removal looks at Parquet files alone."""
    place = settings.lake_place if "://" in settings.lake_place else str(Path(settings.lake_place).absolute())
    return f"{place}/{pipeline}/_catalogs"


def _catalog(warehouse: Warehouse, settings: Settings, pipeline: str) -> str:
    """The catalog in words that no other one has. A copied SQLite file is another file."""
    name = warehouse.query("catalog/catalog_name").column("name")[0].as_py()
    if catalog := settings.postgres:
        at = dsn.keywords(catalog.server)
        return f"PostgreSQL {at.get('host', '')}:{at.get('port') or 5432} database {at.get('dbname', '')} (name {name})"
    file = _file(settings, pipeline)
    return f"SQLite {file}{FILE}{file.stat().st_ino}, name {name})"


def _file(settings: Settings, pipeline: str) -> Path:
    return settings.home.resolve() / "lake" / f"{pipeline}.sqlite"
