"""Backup catalogs: dump the catalog of the lake, and restore it, by the programs of PostgreSQL or by SQLite's own backup."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from nightloop.infra.backup_files import Backup
from nightloop.tasks.objects import blobs
from nightloop.tasks.plan.atomic_file import write_bytes
from nightloop.tasks.plan.errors import ConflictError, PlanError
from nightloop.tasks.plan.settings import Settings

DUMP = "catalog.dump"
SCHEMA = re.compile(r"^\d+; \d+ \d+ SCHEMA - (\S+)", re.MULTILINE)  # a line of what pg_restore lists
TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (public \S+)", re.MULTILINE)


def dump_catalogs(settings: Settings, backup: Backup) -> None:
    """Copy the catalogs of all pipelines into the backup, while nights write to them."""
    with tempfile.TemporaryDirectory(dir=backup.kept.path, prefix=".dump-") as room:
        if settings.postgres:
            copy = Path(room) / DUMP
            _dump(settings, copy)
            backup.files[DUMP] = blobs.put(backup.kept, copy.read_bytes())
            return
        for path in sorted((settings.home / "lake").glob("*.sqlite")):
            copy = Path(room) / path.name
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            backup.files[f"catalogs/{path.name}"] = blobs.put(backup.kept, copy.read_bytes())


def refuse_used_catalogs(settings: Settings, backup: Backup) -> None:
    """Raise ConflictError if the catalogs cannot be restored, before anything is: the place has some of them already, or is of
    another kind. Raises PlanError if PostgreSQL's programs are not installed."""
    names = _names(backup)
    if bool(settings.postgres) != (names == [DUMP]):
        raise ConflictError(
            "the backup is of another kind of catalog than NIGHTLOOP_CATALOG names; set it as it was. Nothing was restored"
        )
    if not settings.postgres:
        for name in names:
            target = _target(settings, name)
            if target.exists() and target.read_bytes() != backup.data(name):
                raise ConflictError(f"{target} exists; nothing was restored. Restore into an empty home")
        return
    with tempfile.TemporaryDirectory() as room:
        _dump(settings, Path(room) / DUMP, "--schema-only")
        there = _objects(Path(room) / DUMP)
    if both := sorted(there & _objects(backup.path(backup.files[DUMP]))):
        raise ConflictError(
            f"the database of NIGHTLOOP_CATALOG has {both[0]} already; nothing was restored. Restore into an empty "
            "database: make a new one (createdb), and name it in NIGHTLOOP_CATALOG"
        )


def restore_catalogs(settings: Settings, backup: Backup) -> None:
    """Write the catalogs back. That of PostgreSQL is restored completely or not at all."""
    if catalog := settings.postgres:
        words = ["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={catalog.with_deadlines}"]
        _run([*words, str(backup.path(backup.files[DUMP]))], catalog.password)
        return
    for name in _names(backup):
        write_bytes(_target(settings, name), backup.data(name))  # a part of it would refuse the restore that is run again


def _names(backup: Backup) -> list[str]:
    return [name for name in backup.files if name == DUMP or name.startswith("catalogs/")]


def _target(settings: Settings, name: str) -> Path:
    return settings.home / "lake" / Path(name).name


def _dump(settings: Settings, file: Path, *more: str) -> None:
    """The database of the catalog, in a file."""
    if catalog := settings.postgres:
        words = ["pg_dump", "--format=custom", *more, f"--file={file}", f"--dbname={catalog.with_deadlines}"]
        _run(words, catalog.password)


def _objects(dump: Path) -> set[str]:
    """The schemas, and the tables of the schema `public`, that a dump makes. A pipeline's catalog is a schema."""
    listed = _run(["pg_restore", "--list", str(dump)], "")
    return {f"the schema {name}" for name in SCHEMA.findall(listed)} | {
        f"the table {name.replace(' ', '.')}" for name in TABLE.findall(listed)
    }


def _run(words: list[str], password: str) -> str:
    """What a program of PostgreSQL prints. Its password, if the setting has one, is in no command line."""
    own = {**os.environ, "PGPASSWORD": password} if password else dict(os.environ)
    try:
        done = subprocess.run(words, env=own, capture_output=True, text=True)
    except FileNotFoundError:
        raise PlanError(f"{words[0]} is not installed; install the client programs of PostgreSQL") from None
    if done.returncode:
        raise ConflictError(f"{words[0]} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
