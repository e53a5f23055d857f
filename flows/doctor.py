"""Doctor: look at this machine before it is trusted with a night."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from flows.writer import store_clock
from tasks.lake.sources import sources
from tasks.models import models
from tasks.open import open_store
from tasks.plan.settings import Settings
from tasks.store import pipelines
from tasks.strategies import strategies
from tasks.strategies.assembly import read_plan

PACKAGES = ("prefect", "torch", "duckdb", "great-expectations", "boto3", "pandas", "pyarrow")
INCOMPLETE = "and it has no complete record of its pipelines: nightloop maintain PLAN --adopt, before anything is swept"
LEAST_DISK = 2 * 1024**3  # bytes


def doctor() -> dict[str, Any]:
    """Every check with its finding; `healthy` is True only where all passed."""
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: platform.python_version(),
        "packages": lambda: ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "plug-ins": _plug_ins,
        "store": _store,
        "disk": _disk,
        "plans": _plans,
    }
    rows = [_checked(name, check) for name, check in checks.items()]
    healthy = all(row["ok"] for row in rows)
    lines = [f"{'ok ' if row['ok'] else 'BAD'}  {row['check']:<9} {row['finding']}" for row in rows]
    return {
        "healthy": healthy,
        "checks": rows,
        "text": "\n".join([*lines, "", "healthy" if healthy else "not healthy: mend what is BAD"]),
    }


def _checked(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "finding": check()}
    except Exception as error:  # a doctor reports what is broken, whatever it is
        return {"check": name, "ok": False, "finding": f"{type(error).__name__}: {error}"}


def _plug_ins() -> str:
    kinds = {"sources": sources(), "models": models(), "strategies": strategies()}
    return "; ".join(f"{kind}: {', '.join(sorted(found))}" for kind, found in kinds.items())


def _store() -> str:
    objects = open_store()
    store_clock(objects)
    record = pipelines.load(objects)
    known = f"it knows {', '.join(record.roots) or 'no pipeline'}" if record and record.complete else INCOMPLETE
    return f"{Settings().store_place} keeps conditional writes, its clock and this machine's agree, {known}"


def _disk() -> str:
    home = Settings().home.resolve()
    there = next(place for place in (home, *home.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_DISK:
        raise OSError(f"{free / 1e9:.1f} GB free at {there}; a night needs room for checkpoints, at least 2 GB")
    return f"{free / 1e9:.0f} GB free at {there}"


def _plans() -> str:
    found = sorted(Settings().plans.glob("*.yaml"))
    for path in found:
        read_plan(path)
    return f"{', '.join(path.stem for path in found) or 'none'} in {Settings().plans}"
