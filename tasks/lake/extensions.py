"""Extensions: those of DuckDB, loaded from wheels or from where they are installed, never from the network.

DuckDB takes a quarter of a second to verify the signature of each of them, at every start. So it is recorded which files were
verified before and have not changed since. A file that was written since has another change time (ctime), which no program
can set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
from duckdb_extensions import import_extension

from nightloop.tasks.lake.statements import fill_in, statement
from nightloop.tasks.plan.atomic_file import write_text
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.settings import Settings

RECORD = "extensions.json"
_SIGNED: set[str] = set()  # extensions whose signature this process has checked, or finds recorded


def verified_before(room: Path) -> set[str]:
    """Names of the extensions that need no verification: a connection to use them must allow unsigned ones."""
    _SIGNED.update(verified_extensions(room))
    return _SIGNED


def verified_extensions(room: Path) -> set[str]:
    """Names of the extensions whose file has not changed since it was verified; none if the record cannot be read."""
    with suppress(OSError, ValueError):
        recorded = json.loads((room / RECORD).read_text(encoding="utf-8"))
        return {name for name, (file, *mark) in recorded.items() if mark and mark == _mark(file)}
    return set()


def remember_signature(room: Path, name: str, file: str) -> None:
    """Record that an extension's file was verified. If that fails, it is verified again the next time."""
    with suppress(OSError, ValueError):
        path = room / RECORD
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_text(path, json.dumps({**recorded, name: [file, *_mark(file)]}))


def load_verified(connection: duckdb.DuckDBPyConnection, extension: str, room: Path) -> None:
    """As `load_extension`; record in `room` that its signature was verified."""
    unsigned_taken = (connection.execute(statement("catalog/unsigned_taken")).fetchone() or (True,))[0]
    if extension not in _SIGNED and unsigned_taken:  # a connection that refuses unsigned ones verifies them itself
        with duckdb.connect() as strict:
            load_extension(strict, extension)
    load_extension(connection, extension)
    if extension not in _SIGNED:
        _SIGNED.add(extension)
        if file := dict(connection.execute(statement("catalog/extension_files")).fetchall()).get(extension):
            remember_signature(room, extension, str(file))


def load_extension(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Load an extension: the installed one, else from its wheel, which is signed and needs no network. Raises ConflictError."""
    try:
        connection.load_extension(extension)
    except duckdb.Error:
        try:
            import_extension(extension, con=connection)
        except ModuleNotFoundError as error:
            wheel = f"duckdb-extension-{extension.replace('_', '-')}=={duckdb.__version__}"
            raise ConflictError(f"{extension} is missing and is not downloaded: pip install {wheel}") from error
        connection.load_extension(extension)


def load_s3(connection: duckdb.DuckDBPyConnection, settings: Settings, credentials: Mapping[str, str]) -> None:
    """Load the extension for S3, and give it the endpoint of the settings and these credentials for as long as the connection lasts."""
    load_verified(connection, "httpfs", settings.home / "lake")
    url = urlsplit(settings.s3_endpoint or f"https://s3.{settings.s3_region}.amazonaws.com")
    words = {
        "key": credentials.get("aws_access_key_id", ""), "secret": credentials.get("aws_secret_access_key", ""),
        "token": credentials.get("aws_session_token", ""), "region": settings.s3_region, "endpoint": url.netloc,
        "style": "path" if settings.s3_path_style else "vhost", "tls": str(url.scheme != "http").lower(),
    }  # fmt: skip
    connection.execute(fill_in(statement("catalog/s3_secret"), words))


def _mark(file: str) -> list[int]:
    """Numbers that identify a file and its last change; empty if it does not exist."""
    with suppress(OSError):
        at = Path(file).stat()
        return [at.st_dev, at.st_ino, at.st_size, at.st_ctime_ns]
    return []
