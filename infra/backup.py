"""Backup: copy the store, the catalog and the lake into a directory while nights run, and restore them from it.

    python -m nightloop.infra.backup make DIRECTORY
    python -m nightloop.infra.backup restore DIRECTORY

Both use the places of the environment (NIGHTLOOP_STORE, NIGHTLOOP_DATA, NIGHTLOOP_CATALOG, ...), as every verb does. Needed
for a catalog in PostgreSQL: pg_dump and pg_restore. `make` into the directory of an earlier backup copies only what is new.

A record is copied before what it names, and the catalog before the files that it names. Nothing that is named is removed
meanwhile, because `maintain` keeps it for days. So every copied record is whole, whatever nights did during the copy.
`restore` goes the other way, into places that are empty: what is named first, and the id of the store last. Before it, no
worker uses the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from nightloop.tasks.objects.keys import checked_key
from nightloop.tasks.objects.objects import Objects, open_for_reading
from nightloop.tasks.objects.store_id import KEY as STORE_ID
from nightloop.tasks.plan.errors import ConflictError, DataError, NightloopError, PlanError
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import credentials

LIST = "backup.json"  # written last: a directory without it holds no complete backup
DUMP = "catalog.dump"
RECORDS = ("champion.json", "/log/", "/nights/")  # parts of keys of records, in the order in which one names the other
KINDS = len(RECORDS) + 2  # and everything else, and blobs


def make(directory: Path) -> str:
    """Copy everything into the directory. Returns what was copied, in words."""
    settings = Settings()
    store, lake = _store(settings), _lake(settings)
    listed = directory / LIST
    if directory.exists() and any(directory.iterdir()) and not listed.exists():
        raise ConflictError(f"{directory} is not empty and holds no complete backup; give another directory")
    before = json.loads(listed.read_text())["files"] if listed.exists() else {}
    listed.unlink(missing_ok=True)
    if not store.read("format.json"):
        raise ConflictError(f"there is no store at {settings.store_place}; nothing was copied")
    files: dict[str, str] = {}
    for kind in range(KINDS):  # listed one after the other: a list that is as old as the first record lacks what came since
        for key in sorted(key for key in store.keys("") if _order(key)[0] == kind):
            _copy(store, key, directory, "store", before, files)
    _dump_catalogs(settings, directory, files)
    for key in _lake_files(lake):
        _copy(lake, key, directory, "lake", before, files)
    document = {"format": 1, "made": datetime.now(UTC).isoformat(), "files": dict(sorted(files.items()))}
    listed.write_text(json.dumps(document, indent=1))
    return f"{len(files)} files are in {directory}"


def restore(directory: Path) -> str:
    """Write everything back into empty places, after every file was compared with its hash. Returns it in words."""
    settings = Settings()
    if not (directory / LIST).exists():
        raise DataError(f"{directory} holds no complete backup: {LIST} is missing")
    files: dict[str, str] = json.loads((directory / LIST).read_text())["files"]
    wrong = [name for name, sha in files.items() if _hash(directory / name) != sha]
    if wrong:
        raise DataError(f"{len(wrong)} files of {directory} are missing or were changed: {', '.join(wrong[:5])}")
    store, lake = _store(settings), _lake(settings)
    for place, objects in ((settings.store_place, _keys(store)), (settings.lake_place, _lake_files(lake))):
        if (first := next(iter(objects), None)) is not None:
            raise ConflictError(f"{place} is not empty ({first}); nothing was restored. Restore into empty places")
    names = sorted((name for name in files if name.startswith("lake/")))
    for name in names:
        _write(lake, name.removeprefix("lake/"), (directory / name).read_bytes())
    _restore_catalogs(settings, directory, files)
    keys = sorted((n.removeprefix("store/") for n in files if n.startswith("store/")), key=_order, reverse=True)
    for key in [*(key for key in keys if key != STORE_ID), *(key for key in keys if key == STORE_ID)]:
        _write(store, key, (directory / "store" / key).read_bytes())
    return f"{len(files)} files were restored; check them: nightloop doctor --deep"


def _store(settings: Settings) -> Objects:
    return open_for_reading(settings.model_copy(update={"store_id": ""}), credentials(settings))


def _lake(settings: Settings) -> Objects:
    """The data place of the lake as objects, whatever it is."""
    place = {"store": settings.lake_place, "store_id": ""}
    return open_for_reading(settings.model_copy(update=place), credentials(settings))


def _keys(objects: Objects) -> Iterator[str]:
    return (key for key in objects.keys("") if not key.startswith("probe/"))


def _lake_files(lake: Objects) -> Iterator[str]:
    """The Parquet files. Marks of catalogs are left out: a restored catalog leaves its own."""
    return (key for key in lake.keys("") if key.endswith(".parquet") and "/." not in f"/{key}")


def _order(key: str) -> tuple[int, str]:
    """The order of copying: a record before what it names, and blobs after all records."""
    kinds = [n for n, part in enumerate(RECORDS) if part in key]
    return (kinds[0] if kinds else len(RECORDS) + key.startswith("blobs/"), key)


def _copy(objects: Objects, key: str, directory: Path, part: str, before: dict[str, str], files: dict[str, str]) -> None:
    """Copy an object. Blobs and Parquet files never change, so those of the backup before are not read again."""
    name = f"{part}/{checked_key(key)}"
    path = directory / name
    if name in before and path.exists() and (key.startswith("blobs/") or part == "lake"):
        files[name] = before[name]
        return
    stored = objects.read(key)
    if stored is None:  # a lease or a cached step that ended meanwhile
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored[0])
    files[name] = hashlib.sha256(stored[0]).hexdigest()


def _write(objects: Objects, key: str, data: bytes) -> None:
    if not objects.create(key, data) and (objects.read(key) or (b"",))[0] != data:
        raise ConflictError(f"{key} was written by somebody else meanwhile; stop the workers, and restore into empty places")


def _dump_catalogs(settings: Settings, directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if catalog := settings.postgres:
        _run(["pg_dump", "--format=custom", f"--file={directory / DUMP}", f"--dbname={catalog.server}"], catalog.password)
        files[DUMP] = _hash(directory / DUMP)
        return
    for path in sorted((settings.home / "lake").glob("*.sqlite")):
        copy = directory / "catalogs" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        files[f"catalogs/{path.name}"] = _hash(copy)


def _restore_catalogs(settings: Settings, directory: Path, files: Iterable[str]) -> None:
    catalogs = [name for name in files if name == DUMP or name.startswith("catalogs/")]
    catalog = settings.postgres
    if bool(catalog) != (catalogs == [DUMP]):
        raise ConflictError("the backup is of another kind of catalog than NIGHTLOOP_CATALOG names; set it as it was")
    if catalog:
        words = ["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={catalog.server}"]
        _run([*words, str(directory / DUMP)], catalog.password)
        return
    for name in catalogs:
        target = settings.home / "lake" / Path(name).name
        if target.exists():
            raise ConflictError(f"{target} exists; nothing was restored to it. Restore into an empty home")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((directory / name).read_bytes())


def _run(words: list[str], password: str) -> None:
    """Run a program of PostgreSQL. Its password, if the setting has one, is in no command line."""
    own = {**os.environ, "PGPASSWORD": password} if password else dict(os.environ)
    try:
        done = subprocess.run(words, env=own, capture_output=True, text=True)
    except FileNotFoundError:
        raise PlanError(f"{words[0]} is not installed; install the client programs of PostgreSQL") from None
    if done.returncode:
        raise ConflictError(f"{words[0]} failed: {done.stderr.strip()[-1000:]}")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def main() -> None:
    """Make or restore a backup. What a person can correct is one sentence on stderr, with exit code 2."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "restore"):
        sys.exit(f"usage: python -m nightloop.infra.backup make|restore DIRECTORY\n{__doc__}")
    try:
        done = (make if sys.argv[1] == "make" else restore)(Path(sys.argv[2]))
    except (NightloopError, OSError) as error:
        sys.stderr.write(f"nightloop: {error}\n")
        sys.exit(2)
    sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main()
