"""Backup: copy the store, the catalog and the lake into a directory while nights run, and restore them from it.

    python -m nightloop.infra.backup make DIRECTORY
    python -m nightloop.infra.backup restore DIRECTORY

Both use the places of the environment (NIGHTLOOP_STORE, NIGHTLOOP_DATA, NIGHTLOOP_CATALOG, ...), as every verb does. Needed
for a catalog in PostgreSQL: pg_dump and pg_restore. `make` into the directory of an earlier backup copies only what is new.

Every file lies under its SHA-256, and the list that names them is replaced last. So a `make` that fails leaves the earlier
backup as it was. It fails if the store does not show what the earlier backup or its own records say: a disk may not be
mounted, a listing may be incomplete.

A record is copied before what it names, and the catalog before the files that it names. Nothing that is named is removed
meanwhile, because `maintain` keeps it for days. So every copied record is whole, whatever nights did during the copy.
`restore` goes the other way, into places that are empty: the store with what is named first, then the lake and the catalog, and
the format and the id of the store last. A run refuses a store that has blobs and no format. A `restore` that was cut off is
run again: what it wrote already is compared, and the rest is written.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nightloop.infra.backup_catalogs import dump_catalogs, refuse_used_catalogs, restore_catalogs
from nightloop.infra.backup_files import FORMAT, LIST, Backup, hold_directory, read_list
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.checksum import ROWS, unseal
from nightloop.tasks.objects.objects import Directory, Objects, open_for_reading
from nightloop.tasks.objects.pipelines import KEY as PIPELINES
from nightloop.tasks.objects.pipelines import readable_record
from nightloop.tasks.objects.probe import FORMAT_KEY
from nightloop.tasks.objects.read_verified import read_parsed
from nightloop.tasks.objects.store_id import KEY as STORE_ID
from nightloop.tasks.objects.store_id import read_store_id
from nightloop.tasks.objects.trash import check_object
from nightloop.tasks.plan.atomic_file import write_text
from nightloop.tasks.plan.errors import CORRECTABLE, ConflictError, DataError, error_message
from nightloop.tasks.plan.safe_text import safe_text
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest_store import blobs_of
from nightloop.tasks.resources import credentials
from nightloop.tasks.retention.needed_blobs import needed_names, nights_of

FINAL = re.compile(r"store/(pipelines/[^/]+/(log|nights|overrides)|removals)/.+")  # records that never change
COPIES = re.compile(r"pipelines/[^/]+/copies")  # made again from the records
LAST = (FORMAT_KEY, STORE_ID)  # are restored last: without its format no run uses the store, without its id no worker
KINDS = 5  # of keys, in the order in which they are copied


def make(directory: Path) -> str:
    """Copy everything into the directory. Returns what was copied, and what is damaged, in words."""
    settings = Settings()
    store, lake = _store(settings), _lake(settings)
    if not store.read("format.json"):
        raise ConflictError(f"there is no store at {settings.store_place}; nothing was copied")
    with hold_directory(directory):
        before = _earlier_files(directory, store, settings.store_place)
        backup, problems = Backup(Directory(directory), {}), list[str]()
        for kind in range(KINDS):  # listed one after the other: a list as old as the first record lacks what came since
            for key in sorted(key for key in store.keys("") if _order(key)[0] == kind and not COPIES.fullmatch(key)):
                problems += _copy(store, key, f"store/{key}", backup, before)
        dump_catalogs(settings, backup)
        for key in _lake_files(lake):
            problems += _copy(lake, key, f"lake/{key}", backup, before)
        problems += _complete(backup, store, before)
        _refuse_fewer_records(backup, before, settings.store_place)
        kept = {name: sha for name, sha in before.items() if _never_changes(name) or name.startswith("store/plans/")}
        files = {**kept, **backup.files}  # what is gone from the store stays in the backup: who knows why it is gone
        made = datetime.now(UTC).isoformat()
        document = {"format": FORMAT, "made": made, "store": read_store_id(store), "files": dict(sorted(files.items()))}
        write_text(directory / LIST, json.dumps(document, indent=1))
        for sha in {*before.values()} - {*files.values()}:
            backup.path(sha).unlink(missing_ok=True)
    return "; ".join([f"{len(files)} files are in {directory}", *problems])


def restore(directory: Path) -> str:
    """Write everything back into empty places, after every file was compared with its hash. Returns it in words."""
    settings = Settings()
    files = read_list(directory)["files"]
    wrong = [name for name, sha in files.items() if _hash(directory / "blobs" / sha) != sha]
    if wrong:
        raise DataError(f"{len(wrong)} files of {directory} are missing or were changed: {', '.join(wrong[:5])}")
    store, lake, backup = _store(settings), _lake(settings), Backup(Directory(directory), files)
    keys = sorted(backup.keys(""), key=_order, reverse=True)
    _refuse_used_places(settings, store, lake, backup)
    refuse_used_catalogs(settings, backup)
    for key in (key for key in keys if key not in LAST):
        _write(store, key, backup.data(f"store/{key}"))
    for name in sorted(name for name in files if name.startswith("lake/")):
        _write(lake, name.removeprefix("lake/"), backup.data(name))
    restore_catalogs(settings, backup)
    for key in (key for key in LAST if key in keys):
        _write(store, key, backup.data(f"store/{key}"))
    return f"{len(files)} files were restored; check them: nightloop doctor --deep"


def _refuse_used_places(settings: Settings, store: Objects, lake: Objects, backup: Backup) -> None:
    """Raise ConflictError if the store or the lake holds anything but what a restore of this backup left that was cut off."""
    begun = any(key in backup.keys("") and store.read(key) is None for key in LAST)
    files = {name.removeprefix("lake/") for name in backup.files if name.startswith("lake/")}
    for place, there, ours in (
        (settings.store_place, _keys(store), {*backup.keys("")}),
        (settings.lake_place, _lake_files(lake), files),
    ):
        if (first := next((key for key in there if not begun or key not in ours), None)) is not None:
            raise ConflictError(f"{place} is not empty ({first}); nothing was restored. Restore into empty places")


def _earlier_files(directory: Path, store: Objects, place: str) -> dict[str, str]:
    """The files of the backup that is in the directory; none if there is none. Raises ConflictError if it is another store's."""
    if not (directory / LIST).exists():
        return {}
    document, identity = read_list(directory), read_store_id(store)
    if document["store"] != identity:
        raise ConflictError(
            f"{directory} holds the backup of a store with the id {document['store'] or 'none'}, and {place} has the id "
            f"{identity or 'none'}: it is another store. Nothing was copied; give another directory"
        )
    files: dict[str, str] = document["files"]
    return files


def _refuse_fewer_records(backup: Backup, before: Mapping[str, str], place: str) -> None:
    """Raise ConflictError if the store shows fewer records than the backup before, or others."""
    for name in sorted(name for name in before if FINAL.fullmatch(name)):
        if (sha := backup.files.get(name)) != before[name]:
            what = "is not shown by" if sha is None else "is another one in"
            raise ConflictError(
                f"{name} of the earlier backup {what} {place}. Is a disk not mounted, or is it a copy of the store? The earlier "
                "backup is as it was. If this is on purpose, give another directory"
            )


def _complete(backup: Backup, store: Objects, before: Mapping[str, str]) -> list[str]:
    """Copy what records need and the listing left out. Returns what the store does not have.

    Raises DataError if the copied records do not belong together, as if the listing left out some.
    """
    keys = list(backup.keys(""))
    try:
        needed_names(backup, keys)
        nights = [nights_of(backup, name, keys).current.values() for name in readable_record(backup).roots]
    except DataError as error:
        raise DataError(
            f"the copy is not whole, so no backup was made, and an earlier one is as it was: {error}"
        ) from error
    needed = {f"blobs/{sha}" for chain in nights for night in chain for sha in blobs_of(night)}
    problems = [
        problem for key in sorted(needed - {*keys}) for problem in _copy(store, key, f"store/{key}", backup, before)
    ]
    return problems + [f"the store lacks {key}" for key in sorted(needed - {*backup.keys("")})]


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
    part = f"{key}//".split("/")[2] if key.startswith("pipelines/") else ""
    return ({"champion.json": 0, "log": 1, "nights": 2}.get(part, 3 + key.startswith("blobs/")), key)


def _copy(objects: Objects, key: str, name: str, backup: Backup, before: Mapping[str, str]) -> list[str]:
    """Copy an object. Returns what is wrong with it. What never changes, and is in the backup before, is not read again."""
    if name in before and _never_changes(name) and backup.path(before[name]).exists():
        backup.files[name] = before[name]
        return []
    problems = []
    try:
        data = read_parsed(objects, key, partial(_verify, name))
    except ValueError as error:
        problems = [f"damaged in the store: {error}"]
        if name in before:
            backup.files[name] = before[name]
            return problems
        data = (objects.read(key) or (None,))[0]
    if data is not None:  # None: a lease or a cached step that ended meanwhile
        backup.files[name] = blobs.put(backup.kept, data)
    return problems


def _never_changes(name: str) -> bool:
    """Whether a file of a backup is a blob, Parquet or a copy of labelled rows."""
    return name.startswith(("store/blobs/", "lake/")) or bool(ROWS.fullmatch(name.removeprefix("store/")))


def _verify(name: str, data: bytes) -> bytes:
    """The bytes of a file. Raises DataError if it is a blob or a sealed record of the store, and its hash is another one."""
    key = name.removeprefix("store/")
    if key in (PIPELINES, STORE_ID):
        unseal(key, data)
    return check_object(key, data) if key != name else data


def _write(objects: Objects, key: str, data: bytes) -> None:
    if not objects.create(key, data) and (objects.read(key) or (b"",))[0] != data:
        raise ConflictError(
            f"{key} was written by somebody else meanwhile; stop the workers, and restore into empty places"
        )


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def main() -> None:
    """Make or restore a backup. What a person can correct is one sentence on stderr, with exit code 2."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "restore"):
        sys.exit(f"usage: python -m nightloop.infra.backup make|restore DIRECTORY\n{__doc__}")
    try:
        done = (make if sys.argv[1] == "make" else restore)(Path(sys.argv[2]))
    except CORRECTABLE as error:
        sys.stderr.write(f"nightloop: {safe_text(error_message(error))}\n")
        sys.exit(2)
    sys.stdout.write(f"{safe_text(done)}\n")


if __name__ == "__main__":
    main()
