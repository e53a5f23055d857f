"""Clock changes: local times of a zone with a name that occur twice or never, because its clocks are put back or forward."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

NAMED = r"[A-Za-z]/[A-Z]| [A-Z][A-Za-z0-9-]{4,}\s*$"  # what a text with the name of a zone has: Europe/Paris, Japan, EST5EDT
ZONE = re.compile(r"[A-Za-z]+(?:/[A-Z][A-Za-z0-9_+-]+)+|[A-Z][A-Za-z0-9-]{4,}(?=\s*$)")
ISO = re.compile(r"\s*([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})[ T]([0-9]{1,2})(?::([0-9]{2}))?")


def clock_changes(times: pa.Array, written: str) -> dict[int, str]:
    """The rows whose time occurs twice or never, and what is wrong with each. `written`: the plan's unit or format of times."""
    if not pa.types.is_string(times.type) or ("%" in written and "%Z" not in written):
        return {}
    named = pc.match_substring_regex(times, NAMED)
    if not pc.any(named).as_py():
        return {}
    rows = pc.indices_nonzero(pc.fill_null(named, False))
    texts = zip(rows.to_pylist(), times.take(rows).to_pylist(), strict=True)
    return {
        row: f"the clocks of the time zone show {text.strip()[:60]!r} twice or never, because they are put back or forward. Write such "
        "times in UTC, or with their offset, such as +01:00"
        for row, text in texts
        if _is_in_change(text, written)
    }


def _is_in_change(text: str, written: str) -> bool:
    found = ZONE.search(text)
    zone, local = _zone(found[0]) if found else None, None
    if zone is None or found is None:
        return False
    try:
        if "%" in written:
            local = datetime.strptime(text.replace(found[0], "UTC").strip(), written).replace(tzinfo=None)
        elif parts := ISO.match(text):
            local = datetime(*(int(part or 0) for part in parts.groups()))  # type: ignore[arg-type]
    except ValueError:
        return False  # it is no time at all
    return (
        local is not None and local.replace(tzinfo=zone).utcoffset() != local.replace(tzinfo=zone, fold=1).utcoffset()
    )


@cache
def _zone(name: str) -> ZoneInfo | None:
    """The zone of a name; None if there is no such zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
