"""Names: of files on disk, each meant as it is spelt, and none that leads out of the place a plan names."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path

from nightloop.tasks.plan.errors import DataError

WILD = re.compile(r"[*?\[]")
# Where a name has wildcards, \ divides folders for DuckDB; and the ending of a name with ? is looked for before that.
IMPOSSIBLE = re.compile(r"\\.*[*?\[]|[*?\[].*\\|\?.*\.(gz|zst)$", re.DOTALL)


def exact_names(params: Mapping[str, object] | None) -> dict[str, object]:
    """Parameters of a statement, in which `file` and `files` are names: DuckDB's readers would take them for patterns."""
    found = dict(params or {})
    if isinstance(file := found.get("file"), str):
        found["file"] = _escape_name(file)
    if isinstance(files := found.get("files"), list):
        found["files"] = [_escape_name(file) for file in files]
    return found


def check_file(file: str, pattern: str) -> None:
    """Raise DataError if a file that a plan's path found is no regular file, has a name that DuckDB cannot be given,
    or is a link that leads out of its place.

    The place is what the path names before its first * ? [ or {period}: that may be a link itself. A path without any
    of them names one file, wherever that is.
    """
    if "://" in file:
        return
    if not Path(file).is_file():
        raise DataError(f"{file!r} is no regular file: deliver a file")
    if IMPOSSIBLE.search(file):
        raise DataError(
            f"{file!r}: a name may not have \\ beside * ? or [, nor ? where it ends with .gz or .zst: rename it"
        )
    wild = WILD.search(pattern.replace("{period}", "*"))
    if wild is None:
        return
    place = Path(pattern[: wild.start()] + "x").parent
    if not Path(file).resolve().is_relative_to(place.resolve()):
        raise DataError(
            f"{file!r} is a symbolic link that leads out of {str(place)!r}: deliver the file itself, or name the place it "
            "leads to in the source's `path`"
        )


def unreadable_name(pattern: str) -> str:
    """The first file that a pattern finds whose name is no UTF-8, with what is not as \\x..; empty where there is none."""
    names = (str(name) for name in sorted(glob.iglob(pattern, recursive=True)))
    return next((repr(name.encode(errors="surrogateescape"))[2:-1] for name in names if not _is_text(name)), "")


def _escape_name(file: str) -> str:
    """A pattern that finds this file alone: what would stand for others stands in brackets. A URL is none."""
    return file if file.startswith(("http://", "https://")) else WILD.sub(r"[\g<0>]", file)


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
