"""File names: escape names so that DuckDB does not read them as patterns, and refuse links out of the plan's place."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path

from nightloop.tasks.plan.errors import DataError

WILD = re.compile(r"[*?\[]")
# If a name has wildcards, DuckDB reads \ as a folder separator, and looks at the ending of a name with ? before that.
IMPOSSIBLE = re.compile(r"\\.*[*?\[]|[*?\[].*\\|\?.*\.(gz|zst)$", re.DOTALL)


def exact_names(params: Mapping[str, object] | None) -> dict[str, object]:
    """The parameters of a statement, with `file` and `files` escaped: DuckDB's readers would read names as patterns."""
    escaped = dict(params or {})
    if isinstance(file := escaped.get("file"), str):
        escaped["file"] = escape_name(file)
    if isinstance(files := escaped.get("files"), list):
        escaped["files"] = [escape_name(file) for file in files]
    return escaped


def check_file(file: str, pattern: str) -> None:
    """Raise DataError if a file that a plan's path found is not a regular file, has a name that DuckDB cannot read,
    or is a link that leads out of its place.

    The place is the part of the path before its first * ? [ or {period}; it may be a link itself. A path without any of
    them names one file, and that file may be anywhere.
    """
    if "://" in file:
        return
    if not Path(file).is_file():
        raise DataError(f"{file!r} is not a regular file: deliver a file")
    if IMPOSSIBLE.search(file):
        raise DataError(
            f"{file!r}: a name may not have \\ together with * ? or [, nor ? if it ends with .gz or .zst: rename it"
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
    """The first file of a pattern whose name is not UTF-8, with other bytes as \\x..; empty if there is none."""
    names = (str(name) for name in sorted(glob.iglob(pattern, recursive=True)))
    return next((repr(name.encode(errors="surrogateescape"))[2:-1] for name in names if not _is_text(name)), "")


def escape_name(file: str) -> str:
    """A pattern that finds this file only: wildcards are put in brackets. A URL is returned as it is."""
    return file if file.startswith(("http://", "https://")) else WILD.sub(r"[\g<0>]", file)


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
