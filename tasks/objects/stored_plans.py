"""Stored plans: the plans of deployments, in the store as their files were, so that every worker runs the same plan.

A stored plan is named `pipeline@version`. The version is taken from the SHA-256 of its text, so a name always means the
same plan. A plan that was edited and deployed again has another name; the old one stays.
"""

from __future__ import annotations

import hashlib

from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.objects.read_verified import read_parsed
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.load import STORED

LENGTH = 16  # hexadecimal digits of a version


def plan_key(name: str) -> str:
    """The key of the plan `pipeline@version`."""
    pipeline, _, version = name.partition("@")
    return f"plans/{pipeline}/{version}.yaml"


def store_plan(objects: Objects, pipeline: str, text: bytes) -> str:
    """Keep the text of a plan. Returns its name; the same text has the same name, and is written once."""
    name = f"{checked_pipeline(pipeline)}@{hashlib.sha256(text).hexdigest()[:LENGTH]}"
    key = plan_key(name)
    if not objects.create(key, text) and (stored := objects.read(key)) is not None and stored[0] != text:
        objects.swap(key, text, stored[1])  # it was damaged
    return name


def load_stored_plan(objects: Objects, name: str) -> bytes:
    """The text of the plan `pipeline@version`. Raises FileNotFoundError if the store has none, DataError if it was changed."""

    def check(text: bytes) -> bytes:
        if hashlib.sha256(text).hexdigest()[:LENGTH] != name.partition("@")[2]:
            raise DataError(f"{plan_key(name)} was changed or cut off; deploy the plan again: nightloop deploy PLAN")
        return text

    text = read_parsed(objects, plan_key(name), check) if STORED.fullmatch(name) else None
    if text is None:
        raise FileNotFoundError(f"the store has no plan {name[:80]}; deploy the plan again: nightloop deploy PLAN")
    return text
