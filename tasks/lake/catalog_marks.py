"""Catalog marks: which catalogs know files of a lake's data place. Only the one that is alone there may remove files.

A catalog does not know what another one needs: that of a copied home, or of a second database with the same
`NIGHTLOOP_DATA`. So each writes a mark into the data place when it is opened, which names the catalog and the directory.
If the place is within the catalog's own home, only marks that name this directory count: a copied home has copied marks.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import ConflictError, DataError
from nightloop.tasks.plan.settings import Settings

FILE = " (file "  # between the place of a catalog and the number of its file
PLACE = " in directory "  # between a catalog and the number of the directory, in a mark


def leave_mark(warehouse: Warehouse, settings: Settings, pipeline: str) -> None:
    """Write this catalog's mark into the data place, if it has none yet. Without write access no mark is written."""
    catalog = _catalog(warehouse, settings, pipeline)
    file = f"{_marks(settings, pipeline)}/{hashlib.sha256(catalog.encode()).hexdigest()[:24]}.txt"
    with suppress(OSError):
        if "://" not in file:  # every command opens the lake, so local files are checked without a statement
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            catalog += _place(settings, pipeline)
            if Path(file).exists() and Path(file).read_text(encoding="utf-8", errors="replace").strip() == catalog:
                return
        elif any(row["catalog"] == catalog for row in _read_marks(warehouse, settings, pipeline)):
            return
        warehouse.query("catalog/write_mark", {"mark": file, "catalog": catalog})


def removal_obstacle(warehouse: Warehouse, settings: Settings, pipeline: str, before: datetime) -> str:
    """Why this catalog may not remove files of the data place; empty if it may.

    It may if no other catalog has a mark, and its own is older than `before`: by then every other catalog in use has been
    opened, and has written one.
    """
    catalog, within = _catalog(warehouse, settings, pipeline), _within_home(settings, pipeline)
    rows = _read_marks(warehouse, settings, pipeline)
    directory = "" if "://" in settings.lake_place else _place(settings, pipeline)
    for row in rows:
        row["catalog"], sign, marked = row["catalog"].partition(PLACE)
        other = row["catalog"] != catalog
        if within:  # ignore copied marks, and the mark of a catalog file that this one replaced
            other = sign + marked == directory and row["catalog"].partition(FILE)[0] != catalog.partition(FILE)[0]
        if other:
            return (
                f"another catalog has files there too: {row['catalog']}. Give each catalog its own NIGHTLOOP_DATA; if "
                f"that catalog no longer exists, remove {row['mark']}"
            )
    since = next((row["since"] for row in rows if row["catalog"] == catalog), None)
    if within or (since and since <= before):
        return ""
    if not since:
        return "this catalog is known there by no mark"
    others = "other catalogs that use the place must have time to write their marks"
    return f"this catalog is known there only since {since:%Y-%m-%d}, and {others}"


def catalog_name(warehouse: Warehouse) -> str:
    """A name that no other catalog has, but a copy of this one."""
    return str(warehouse.query("catalog/catalog_name").column("name")[0].as_py())


def catalog_identity(warehouse: Warehouse) -> str:
    """Identifies this catalog also among its copies: its name, and the server and database that it is in.

    The name alone, if the catalog is a file or the user may not ask for the server.
    """
    if not warehouse.identity:  # each of a night's tasks asks, and an open lake stays in its catalog
        warehouse.identity.append(f"{catalog_name(warehouse)} {_server(warehouse).get('server', '')}".strip())
    return warehouse.identity[0]


def refuse_other_catalog(warehouse: Warehouse, identity: str) -> None:
    """Raise ConflictError if this is not the catalog of this identity. If only one of the two names its server, the
    names decide."""
    ours, theirs = catalog_identity(warehouse).split(), identity.split()
    if any(one != other for one, other in zip(ours, theirs, strict=False)):
        raise ConflictError(
            "a worker has another catalog: start it with the NIGHTLOOP_CATALOG of the run. Nothing was written"
        )


def _within_home(settings: Settings, pipeline: str) -> bool:
    """Whether the data directory is in the home of its catalog, so that a copy of the home has a copy of it."""
    if settings.postgres or "://" in settings.lake_place:
        return False
    return (Path(settings.lake_place) / pipeline).resolve().is_relative_to(settings.home.resolve())


def _place(settings: Settings, pipeline: str) -> str:
    """A text that identifies the data directory, whatever path leads to it."""
    return f"{PLACE}{(Path(settings.lake_place) / pipeline).stat().st_ino}"


def _marks(settings: Settings, pipeline: str) -> str:
    """The directory of the marks. It is in the data place, from which only Parquet files are removed."""
    return f"{settings.data_path(pipeline)}/_catalogs"


def _read_marks(warehouse: Warehouse, settings: Settings, pipeline: str) -> list[dict[str, Any]]:
    """All marks of the data place. A path without * would be found on S3 whether it exists or not."""
    marks = warehouse.query("catalog/marks", {"pattern": f"{_marks(settings, pipeline)}/*.txt"})
    rows: list[dict[str, Any]] = marks.to_pylist()
    return rows


def _catalog(warehouse: Warehouse, settings: Settings, pipeline: str) -> str:
    """A text that identifies the catalog. A copied SQLite file is another catalog."""
    name = catalog_name(warehouse)
    if catalog := settings.postgres:
        at, server = dsn.keywords(catalog.server), _server(warehouse)
        host = at.get("host") or server.get("address", "")
        where = f"{host}:{at.get('port') or 5432} database {at.get('dbname', '')}"
        return f"PostgreSQL {where} (name {name}, server {server.get('server', '')})"
    file = _file(settings, pipeline)
    return f"SQLite {file}{FILE}{file.stat().st_ino}, name {name})"


def _server(warehouse: Warehouse) -> dict[str, str]:
    """What PostgreSQL says of itself: a service, PGHOST or localhost names another server on another machine.

    Empty if the user may not ask.
    """
    with suppress(DataError):
        return dict(warehouse.query("catalog/postgres_identity").to_pylist()[0])
    return {}


def _file(settings: Settings, pipeline: str) -> Path:
    return settings.home.resolve() / "lake" / f"{pipeline}.sqlite"
