"""Stored report: the HTML page of a pipeline in the store, so that it is current on every machine; and stored documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from pydantic import JsonValue

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects, swap_or_create
from nightloop.tasks.plan.atomic_file import write_text
from nightloop.tasks.plan.plan import canonical_json
from nightloop.tasks.plan.safe_text import json_of
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import step_cache


def report_key(pipeline: str) -> str:
    """The key of a pipeline's report."""
    return f"reports/{checked_pipeline(pipeline)}.html"


def read_report(objects: Objects, pipeline: str) -> tuple[str, str]:
    """The page and its tag; both empty if there is none."""
    stored = objects.read(report_key(pipeline))
    return (stored[0].decode(errors="replace"), stored[1]) if stored else ("", "")


def save_report(objects: Objects, pipeline: str, page: str, tag: str) -> None:
    """Replace the page that has this tag; if it is empty, there was none. A page that another machine drew since stays."""
    swap_or_create(objects, report_key(pipeline), page.encode(), tag)


def save_document(
    objects: Objects, pipeline: str, name: str, document: dict[str, JsonValue], page: Callable[[], str]
) -> dict[str, str]:
    """Store a JSON document, write it and its HTML page into the reports directory. Returns the paths of both files."""
    data = canonical_json(document)
    key = hashlib.sha256(data).hexdigest()
    step_cache.store_result(objects, pipeline, key, name, {"document": blobs.put(objects, data)})
    file = (Settings().home / "reports").absolute() / f"{pipeline}.{name}"  # no pipeline has a dot in its name
    write_text(html_path := file.with_name(f"{file.name}.html"), page())
    write_text(json_path := file.with_name(f"{file.name}.json"), json_of(document, indent=1))
    return {"report": str(html_path), "json": str(json_path)}
