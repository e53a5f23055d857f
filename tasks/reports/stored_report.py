"""Stored report: the HTML page of a pipeline in the store, so that it is current on every machine, whichever ran the night."""

from __future__ import annotations

from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects


def report_key(pipeline: str) -> str:
    """The key of a pipeline's report."""
    return f"reports/{checked_pipeline(pipeline)}.html"


def read_report(objects: Objects, pipeline: str) -> tuple[str, str]:
    """The page and its tag; both empty if there is none."""
    stored = objects.read(report_key(pipeline))
    return (stored[0].decode(errors="replace"), stored[1]) if stored else ("", "")


def save_report(objects: Objects, pipeline: str, page: str, tag: str) -> None:
    """Replace the page that has this tag; if it is empty, there was none. A page that another machine drew since stays."""
    if tag:
        objects.swap(report_key(pipeline), page.encode(), tag)
    else:
        objects.create(report_key(pipeline), page.encode())
