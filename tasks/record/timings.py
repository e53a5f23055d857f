"""Timings: seconds and bytes of a night. They are not part of the record, and nothing depends on them."""

from __future__ import annotations

import json
import logging

from pydantic import JsonValue

from nightloop.tasks.objects.checksum import seal
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.sealed_record import read_sealed
from nightloop.tasks.plan.plan import canonical_json
from nightloop.tasks.record.manifest import Manifest

log = logging.getLogger(__name__)


def write_timings(objects: Objects, manifest: Manifest, value: dict[str, JsonValue]) -> bool:
    """Store the timings of a night. False if an earlier run of the same night did so already: that run did the work."""
    return objects.create(_key(manifest), seal(canonical_json(value)))


def read_timings(objects: Objects, manifest: Manifest) -> dict[str, JsonValue] | None:
    """The timings of a night, or None if they were not stored or cannot be read."""
    try:
        data = read_sealed(objects, _key(manifest))
        return dict(json.loads(data)) if data else None
    except ValueError as error:
        log.warning("%s; the night's seconds and bytes are not known", error)
        return None


def _key(manifest: Manifest) -> str:
    return f"pipelines/{manifest.pipeline}/notes/{manifest.hash}.json"
