"""Doctor: check this machine before a night runs on it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nightloop.flows.cli.disk_space import require_space
from nightloop.flows.cli.prefect_health import check_prefect_server
from nightloop.flows.pipeline_lock import store_clock
from nightloop.tasks.objects import pipelines
from nightloop.tasks.objects.race_probe import probe_races
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plugins import GROUPS, classes
from nightloop.tasks.plan.settings import PACKAGE, Settings
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.reports.format import plural
from nightloop.tasks.resources import open_store, read, try_lake
from nightloop.tasks.retention.needed_blobs import GIVEN_UP

PACKAGES = ("prefect", "torch", "duckdb", "great-expectations", "boto3", "pandas", "pyarrow")
INCOMPLETE = "and it has no complete record of its pipelines: run nightloop maintain PLAN --adopt before a sweep"
LEAST_DISK = 2 * 10**9  # bytes


def doctor(deep: bool = False) -> dict[str, Any]:
    """Every check with its finding; `healthy` is True only if all passed. `deep`: read every blob of every night too."""
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: platform.python_version(),
        "packages": lambda: ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "install": lambda: f"nightloop {version('nightloop')} in {PACKAGE.parent}",
        "plug-ins": _check_plug_ins,
        "store": _check_store,
        "lake": _check_lake,
        "disk": lambda: require_space(LEAST_DISK, "a night needs room for checkpoints"),
        "plans": _check_plans,
        "prefect": check_prefect_server,
    }
    if deep:
        checks["blobs"] = _check_blobs
    rows = [_run_check(name, check) for name, check in checks.items()]
    healthy = all(row["ok"] for row in rows)
    lines = [f"{'ok ' if row['ok'] else 'BAD'}  {row['check']:<9} {row['finding']}" for row in rows]
    return {
        "healthy": healthy,
        "checks": rows,
        "text": "\n".join([*lines, "", "healthy" if healthy else "not healthy: repair what is BAD"]),
    }


def _run_check(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "finding": check()}
    except Exception as error:  # every failure is a finding, whatever its type
        return {"check": name, "ok": False, "finding": f"{type(error).__name__}: {error}"}


def _check_plug_ins() -> str:
    return "; ".join(
        f"{group.removeprefix('nightloop.')}: {', '.join(classes(kind))}" for kind, group in GROUPS.items()
    )


def _check_store() -> str:
    objects = open_store()
    store_clock(objects)
    probe_races(objects, Settings().store_place)
    record = pipelines.load_record(objects)
    pipelines_in_words = (
        f"it knows {', '.join(record.roots) or 'no pipeline'}" if record and record.complete else INCOMPLETE
    )
    return (
        f"{Settings().store_place} keeps conditional writes, its clock and this machine's agree, {pipelines_in_words}"
    )


def _check_lake() -> str:
    """Attach the lake of every pipeline, and take the write lock without writing anything."""
    names = sorted(pipelines.readable_record(open_store()).roots)
    where = f"catalogs in {'PostgreSQL' if Settings().postgres else 'SQLite'}, data in {Settings().lake_place}"
    for name in names:
        try_lake(name)
    if names:
        return f"{where}; those of {', '.join(names)} can be attached and written"
    if Settings().postgres:
        return f"{where}; not tried, since there is no pipeline yet: the first night makes its catalog"
    with TemporaryDirectory() as home:
        try_lake("doctor", Path(home))
    return f"{where}; there is no pipeline yet, and one that was made to try it can be attached and written"


def _check_blobs() -> str:
    """Read every blob that a night or the promotion log names, and compare it with its hash."""
    objects = open_store()
    nights, needed = 0, set()
    wrong = []
    for name in pipelines.readable_record(objects).roots:
        keys = [key.split("/")[3] for key in objects.keys(f"pipelines/{name}/nights/")]
        for index in sorted({int(key) for key in keys if key.isdecimal()}):
            nights += 1
            revisions = manifest_store.read_revisions(objects, name, index)
            if not revisions:
                first = manifest_store.manifest_key(name, index, 1)
                wrong.append(f"{first} is missing, and other files of that night exist")
            for number, sealed in enumerate(revisions, start=1):  # superseded ones too: a champion may come from one
                try:
                    night = manifest_store.parse_manifest(objects, (name, index, number), sealed)
                    needed |= set(manifest_store.blobs_of(night))
                except ValueError as error:
                    wrong += [] if sealed.strip() == GIVEN_UP else [str(error)]
        for entry in promotion_log.read_log(objects, name):
            needed |= {entry.vocabulary, entry.checkpoint.weights, entry.checkpoint.memory}
    wrong += manifest_store.blob_damage(objects, sorted(needed))
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise PlanError(f"{plural(len(wrong), 'object')} damaged or missing: {'; '.join(wrong[:5])}{more}")
    return f"{plural(nights, 'night')} and their {plural(len(needed), 'blob')} are intact"


def _check_plans() -> str:
    """Read every plan that is found by name, plug-in options included."""
    lines, wrong = [], []
    for directory in dict.fromkeys(directory.resolve() for directory in Settings().plan_places):
        names = sorted(directory.glob("*.yaml"))
        for path in names:
            try:
                read(str(path))
            except (ValueError, LookupError, OSError) as error:
                wrong.append(str(error))
        if names:
            lines.append(f"{', '.join(path.stem for path in names)} in {directory}")
    if wrong:
        raise PlanError("; ".join(wrong))
    return "; ".join(lines)
