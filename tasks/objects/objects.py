"""Objects: the only module that stores bytes; a flat map from key to bytes with conditional writes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nightloop.tasks.objects.errors import explain_disk_errors
from nightloop.tasks.objects.key_names import bucket_of, checked_key, checked_prefix
from nightloop.tasks.objects.listing import files_below
from nightloop.tasks.objects.probe import check_format, mark_store, probe_store
from nightloop.tasks.objects.retry import answer_within, attempt_seconds, read_with_retry, write_once
from nightloop.tasks.objects.s3_client import attempt, client
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")
YOUNGEST = 60.0  # seconds; a younger file may belong to a writer that has not locked it yet


class Objects(Protocol):
    """A store. Keys are `a/b/c` of letters, digits, `-_.=+`; any other key raises PlanError.

    All methods raise PermissionError (read-only, wrong credentials), FileNotFoundError (no such store), TimeoutError (a
    write may or may not have happened) and OSError (full, broken).
    """

    def __hash__(self) -> int:
        """A store can be a key of a cache: of what never changes in it."""

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The bytes and the tag (ETag) of this state, or None if there is no such key."""

    def create(self, key: str, data: bytes) -> bool:
        """Write if the key does not exist (`If-None-Match: *`); False if it exists."""

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        """Replace the state that has this tag (`If-Match`); False if the state has changed."""

    def remove(self, key: str) -> None:
        """Remove a key; no error if it does not exist."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys with this prefix, for sweeps only: a key that is not listed may exist. A listing error raises."""


@dataclass(frozen=True)
class Directory:
    """A store in a local directory. If `create` or `swap` returned True, the whole object is on the disk."""

    path: Path

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `Objects.read`; the tag is the SHA-256 of the bytes."""
        try:
            data = (self.path / checked_key(key)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return data, hashlib.sha256(data).hexdigest()

    def create(self, key: str, data: bytes) -> bool:
        """As `Objects.create`: a hard link either makes the whole file or finds an existing one."""
        path = self.path / checked_key(key)
        with explain_disk_errors(self.path), self._temporary_file(data) as written:
            _make_folder(path.parent)
            try:
                os.link(written, path)
                return True
            except FileExistsError:
                return False
            finally:
                _settle(path.parent)  # either result must survive a power cut

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        """As `Objects.swap`; other writers wait during the comparison."""
        path = self.path / checked_key(key)
        with explain_disk_errors(self.path), self._lock():
            stored = self.read(key)
            if stored is None or stored[1] != tag:
                return False
            with self._temporary_file(data) as written:
                os.replace(written, path)
                _settle(path.parent)
            return True

    def remove(self, key: str) -> None:
        """As `Objects.remove`."""
        path = self.path / checked_key(key)
        with explain_disk_errors(self.path), self._lock():
            if path.exists():
                path.unlink()
                _settle(path.parent)

    def keys(self, prefix: str) -> Iterator[str]:
        """As `Objects.keys`, sorted; partly written files are not listed."""
        folder = checked_prefix(prefix).rpartition("/")[0]
        start = f"{folder}/" if folder else ""
        names = (start + name for name in files_below(self.path / folder))
        yield from sorted(key for key in names if key.startswith(prefix))

    def file_time(self) -> float:
        """The time that the file system gives to a file written now, in seconds since 1970."""
        with explain_disk_errors(self.path), self._temporary_file(b"") as written:
            return written.stat().st_mtime

    def tidy(self) -> None:
        """Remove partly written files of dead writers; active writers hold a lock on theirs, all but the youngest."""
        before = self.file_time() - YOUNGEST
        for left in (self.path / ".writing").glob("*"):
            with suppress(BlockingIOError, FileNotFoundError), left.open("rb") as file:  # it may end at this moment
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_mtime < before:
                    left.unlink(missing_ok=True)

    @contextmanager
    def _temporary_file(self, data: bytes) -> Iterator[Path]:
        """A temporary file that holds the data, synced to the disk; removed afterwards."""
        temporary = self.path / ".writing" / uuid.uuid4().hex
        _make_folder(temporary.parent)
        try:
            with temporary.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One swap at a time, across threads and processes; the lock ends with its process."""
        _make_folder(self.path)
        with (self.path / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents so that they survive a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _settle(folder.parent)


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class S3:
    """A store under a prefix of a bucket; `retry.py` handles conflicts, retries and time-outs."""

    bucket: str
    prefix: str  # empty, or ends with /
    client: S3Client

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `Objects.read`; the tag is the ETag."""

        def get() -> dict[str, Any]:
            ask = partial(self.client.get_object, Bucket=self.bucket, Key=self.prefix + checked_key(key))
            answer = answer_within(attempt_seconds(0), ask)
            data = answer_within(attempt_seconds(answer.get("ContentLength", 0)), answer["Body"].read)
            return {**answer, "Body": data}

        answer = read_with_retry(lambda: attempt(get, "ETag"), self._place(key))
        return (answer["Body"], answer["ETag"]) if answer else None

    def create(self, key: str, data: bytes) -> bool:
        """As `Objects.create`, by `If-None-Match: *`."""
        put = partial(self.client.put_object, Bucket=self.bucket, Key=self.prefix + checked_key(key), Body=data)
        return self._write(partial(put, IfNoneMatch="*"), key, data)

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        """As `Objects.swap`, by `If-Match`."""
        put = partial(self.client.put_object, Bucket=self.bucket, Key=self.prefix + checked_key(key), Body=data)
        return self._write(partial(put, IfMatch=tag), key, data)

    def remove(self, key: str) -> None:
        """As `Objects.remove`."""
        name = self.prefix + checked_key(key)
        remove = partial(self.client.delete_object, Bucket=self.bucket, Key=name)
        read_with_retry(lambda: attempt(partial(answer_within, attempt_seconds(0), remove)), self._place(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """As `Objects.keys`, sorted."""
        start, more = self.prefix + checked_prefix(prefix), ""
        while True:
            page = self._page(start, more)
            yield from (entry["Key"].removeprefix(self.prefix) for entry in page.get("Contents", []))
            if not page["IsTruncated"]:
                return
            if (following := page.get("NextContinuationToken", "")) in ("", more):
                raise StoreError(
                    f"{self._place(start)}: the server sent a part of the listing without a token for the rest; try again later"
                )
            more = following

    def answer_date(self) -> str:
        """The header Date of an answer of the server, to the second."""
        ask = partial(self.client.list_objects_v2, Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        page = self._listing(ask, self.prefix)
        return page["ResponseMetadata"]["HTTPHeaders"].get("date", "")

    def _page(self, start: str, more: str) -> ListObjectsV2OutputTypeDef:
        ask = partial(self.client.list_objects_v2, Bucket=self.bucket, Prefix=start)
        ask = partial(ask, ContinuationToken=more) if more else ask
        return self._listing(ask, start)

    def _listing(self, ask: Callable[[], ListObjectsV2OutputTypeDef], start: str) -> ListObjectsV2OutputTypeDef:
        within = partial(answer_within, attempt_seconds(0), ask)
        page = read_with_retry(lambda: attempt(within, "IsTruncated"), self._place(start))
        if page is None:
            raise FileNotFoundError(f"{self._place(start)} cannot be listed: the server says that it is not there")
        return page

    def _place(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def _write(self, put: Callable[[], object], key: str, data: bytes) -> bool:
        holds = lambda: (self.read(key) or (None,))[0] == data  # noqa: E731
        within = partial(answer_within, attempt_seconds(len(data)), put)
        return write_once(lambda: attempt(within, "ETag"), holds, self._place(key))


def open_objects(settings: Settings, credentials: Mapping[str, str] | None = None) -> Directory | S3:
    """The store of these settings, probed once a process. Raises as `Objects`, and DataError if it must not be used."""
    place = settings.store_place
    objects, has_format = _open(settings, credentials)
    _probe_once(objects, place)
    if not has_format:
        mark_store(objects, place)
    return objects


def open_for_reading(settings: Settings, credentials: Mapping[str, str] | None = None) -> Directory | S3:
    """The store without a probe, for read-only access.

    Raises DataError if it has another format, and ConflictError if the settings name another store's id.
    """
    return _open(settings, credentials)[0]


def _open(settings: Settings, credentials: Mapping[str, str] | None) -> tuple[Directory | S3, bool]:
    """The store, and whether it has a format yet."""
    place = settings.store_place
    objects: Directory | S3 = Directory(Path(place))
    if bucket := bucket_of(place):
        objects = S3(*bucket, client(settings, tuple(sorted((credentials or {}).items()))))
    elif Path(place).exists() and not Path(place).is_dir():
        raise NotADirectoryError(f"the store {place} is a file; name a directory or s3://bucket/prefix")
    has_format = check_format(objects, place)
    if settings.store_id:
        from nightloop.tasks.objects.store_id import refuse_other_store  # it needs this file

        refuse_other_store(objects, place, settings.store_id)
    return objects, has_format


def swap_or_create(objects: Objects, key: str, data: bytes, tag: str) -> bool:
    """`Objects.swap` of the state that has this tag; if it is empty, there was none: `Objects.create`."""
    return objects.swap(key, data, tag) if tag else objects.create(key, data)


def read_again(objects: Objects, key: str) -> tuple[bytes, str] | None:
    """As `Objects.read`, over a new connection: for bytes that failed verification."""
    if isinstance(inner := getattr(objects, "objects", objects), S3):  # `WithCopies` has another store inside
        inner.client.close()  # its idle connections; the next request opens a new one
    return objects.read(key)


@cache
def _probe_once(objects: Directory | S3, place: str) -> None:
    probe_store(objects, place)
    if isinstance(objects, Directory):
        objects.tidy()
