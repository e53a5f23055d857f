"""Stored report: the HTML page of a pipeline in the store, so that it is current on every machine, whichever ran the night."""

from __future__ import annotations

from nightloop.tasks.objects.keys import checked_pipeline
from nightloop.tasks.objects.objects import Objects


def report_key(pipeline: str) -> str:
    """The key of a pipeline's report."""
    return f"reports/{checked_pipeline(pipeline)}.html"


def read_report(objects: Objects, pipeline: str) -> str | None:
    """The page, or None if there is none."""
    stored = objects.read(report_key(pipeline))
    return stored[0].decode(errors="replace") if stored else None


def save_report(objects: Objects, pipeline: str, page: str) -> None:
    """Replace the page. If two machines do so at once, one of their pages stays; the next night draws it again."""
    key, data = report_key(pipeline), page.encode()
    stored = objects.read(key)
    if stored is None:
        objects.create(key, data)
    elif stored[0] != data:
        objects.swap(key, data, stored[1])
