"""Step cache: results of finished steps, so that a run after a crash skips them."""

from __future__ import annotations

import json
import logging
import re

from pydantic import JsonValue

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.checksum import seal
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.sealed_record import read_sealed
from nightloop.tasks.plan.plan import canonical_json

log = logging.getLogger(__name__)


def cached_result(objects: Objects, pipeline: str, key: str, step: str) -> dict[str, JsonValue] | None:
    """The result of the step of this key (SHA-256 of all that it depends on), or None if the step must run.

    A record that is damaged, or that names a damaged blob, is removed: running the step again gives the same result.
    Every SHA-256 in a record is the name of a blob.
    """
    record_key = step_result_key(pipeline, key, step)
    try:
        data = read_sealed(objects, record_key)
        if data is None:
            return None
        for sha in sorted(set(re.findall(rb'"([0-9a-f]{64})"', data))):
            blobs.get(objects, sha.decode())
        return dict(json.loads(data))
    except (ValueError, FileNotFoundError) as error:
        log.warning("%s; the step is done again", error)
        objects.remove(record_key)
        return None


def store_result(
    objects: Objects, pipeline: str, key: str, step: str, value: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Record the result of a step; its blobs must be stored already. Returns the recorded result: the first one wins."""
    if objects.create(step_result_key(pipeline, key, step), seal(canonical_json(value))):
        return value
    stands = cached_result(objects, pipeline, key, step)
    return value if stands is None else stands


def step_result_key(pipeline: str, key: str, step: str) -> str:
    """The key of the record of a step."""
    return f"pipelines/{checked_pipeline(pipeline)}/work/{key}/{step}.json"
