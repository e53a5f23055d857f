"""Words and numbers as an operator reads them: short, without control characters, the same in a terminal, in markdown and in HTML."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from html import escape as _escape

from nightloop.tasks.plan.redact import redact

LONGEST = 160  # characters of a name or a reason; the full text is in the manifest
NONE = "–"


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of `text` without control, format or private characters and credentials, at most `longest` long.

    A name from the logs may hold terminal escapes, line breaks, right-to-left marks or a megabyte; a reason a password.
    """
    full = str(text)
    head = full[: 4 * longest + 64]
    printable = "".join(" " if c.isspace() else c for c in head if c.isspace() or unicodedata.category(c)[0] != "C")
    line = " ".join(printable.split())
    if len(head) < len(full):  # the last word may be half a credential, which redaction does not recognise
        whole = line.rpartition(" ")[0]
        line = whole if whole or len(line) <= longest else line
    line = redact(line)
    return line if len(line) <= longest and len(head) == len(full) else line[: longest - 1].rstrip() + "…"


def escape_html(text: object, longest: int = LONGEST) -> str:
    """`plain` text for HTML, also inside quoted attributes."""
    return _escape(plain(text, longest), quote=True)


def escape_markdown(text: object, longest: int = LONGEST) -> str:
    """`plain` text for markdown: nothing in it becomes a link, a picture, a table cell, emphasis or HTML."""
    line = plain(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = "".join("\\" + c if c in "\\`*_{}[]|~$!#" else c for c in line)
    # Addresses would become links. Prefect's UI knows no other entities than the three above, and shows `&#64;` as it stands.
    for bare, shown in (("://", r"\://"), ("www.", r"www\."), ("@", r"\@")):
        line = line.replace(bare, shown)
    return line


def number(value: float | None, digits: int = 4) -> str:
    """A metric: fixed digits, so that a column can be compared by eye; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    """A difference, with its sign: `+0.0012`, `−0.0300`."""
    return f"{value:+.{digits}f}".replace("-", "−")


def count(value: float | None) -> str:
    """A whole number with thousands set apart."""
    return NONE if value is None or not math.isfinite(value) else f"{round(value):,}"


def percent(share: float | None, digits: int = 1) -> str:
    """A signed relative change: 0.034 is `+3.4 %`. Above a thousand percent it has no size: its base is nearly zero."""
    if share is None or not math.isfinite(share):
        return NONE
    if abs(share) > 10:
        return "more than +1,000 %" if share > 0 else "less than −1,000 %"
    return f"{100 * share:+.{digits}f} %".replace("-", "−")


def seconds(value: float | None) -> str:
    """A duration: `0.4 s`, `38 s`, `12 min`, `3.1 h`."""
    if value is None or not math.isfinite(value):
        return NONE
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}" if value >= 10 * size else f"{value / size:.1f} {unit}"
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s" if value >= 0.1 else f"{1000 * value:.0f} ms"


def size(value: float | None) -> str:
    """Bytes: `812 B`, `4.1 kB`, `96 MB`."""
    if value is None or not math.isfinite(value):
        return NONE
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.0f} {unit}" if value >= 10 * scale else f"{value / scale:.1f} {unit}"
    return f"{value:.0f} B"


def join_words(things: Sequence[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 4 more`."""
    if len(things) > most:
        return ", ".join(things[:most]) + f" and {len(things) - most} more"
    return " and ".join(([", ".join(things[:-1])] if len(things) > 1 else []) + list(things[-1:]))


def without_severity(reason: str) -> str:
    """A reason of validation without the severity it begins with; the verdict beside it says that already."""
    return reason.removeprefix("stops the night: ").removeprefix("warning: ")


def plural(n: int, noun: str) -> str:
    """`1 night`, `2 nights`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
