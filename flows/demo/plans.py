"""Demo plans: the plans that a demo writes, for simulated logs and for a user's own file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import yaml

from nightloop.flows.pipeline_lock import store_clock
from nightloop.tasks.inspection.infer_columns import guess_columns
from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.lake.ingest import read_until_complete
from nightloop.tasks.lake.periods import period
from nightloop.tasks.lake.values import as_ids
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects.lease import lease_key, lease_words
from nightloop.tasks.plan.atomic_file import is_generated, write_generated
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Columns, Plan
from nightloop.tasks.plan.settings import PACKAGE, Settings
from nightloop.tasks.record.entries import entries_by_hand
from nightloop.tasks.record.manifest_store import manifest_key
from nightloop.tasks.record.promotion_log import read_log
from nightloop.tasks.reports.format import plain
from nightloop.tasks.resources import open_store
from nightloop.tasks.sources import build

HISTORY = 5  # days that the root night pre-trains on
LAST = HISTORY + 13  # index of the last of 14 nights after the root
BAD = HISTORY + 6  # the day whose first delivery is corrupt
MENDED = BAD + 3  # the night before which the good delivery arrives
PERIODS, PRETRAINED, LEAST = 20, 6, 50  # of a user's own file: periods, those pre-trained on, fewest rows in each

COMPLAINTS, BEGINNING = "complaints from the front page", "somebody has to begin"  # reasons that a demo itself gives
HEAD = "# Written by `nightloop demo`"  # of a plan that a later demo may replace
HEADLINE = f"{HEAD}: a plan to begin your own from."
OWN = "own"  # the pipeline of a user's own file
SAMPLE = 500_000  # rows in which repeated takings are counted
REPEATED = 0.05  # if more rows are items that their user took before, people take items again


def trained_parts(name: str) -> dict[str, Any]:
    """The part of a demo's plan that says what is trained: `infra/demo/<name>.yaml`."""
    parts: dict[str, Any] = yaml.safe_load((PACKAGE / "demo" / f"{name}.yaml").read_text(encoding="utf-8"))
    return parts


def world_plan(deliveries: Path, start: str) -> dict[str, Any]:
    """The plan `demo`: one file a day, as long as the demo's history."""
    return {
        "pipeline": "demo",
        "source": {"use": "files", "options": {"path": f"{deliveries}/{{period}}.parquet"}},
        "columns": {
            "user": "user_id", "item": "item_id", "time": "ts", "categorical": ["category"], "numeric": ["price"],
        },
        "periods": {
            "every": "day", "start": start, "end": str(date.fromisoformat(start) + timedelta(days=LAST + 1)),
            "timezone": "UTC",
        },
        "pretrain_periods": HISTORY,
        "expectations": {"rules": {"price": {"least": 0, "most": 10_000}}},
        "ranking": {"repeats": True},  # more than a third of the rows are items that their user took before
        **trained_parts("ranking"),
    }  # fmt: skip


def own_plan(data: Path, given: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The plan `own`: a user's file in periods of equal counts. `given`: the columns by hand; empty: inferred.
    `options` are those of the source.

    Raises FileNotFoundError, or PlanError if a column is missing or there are too few rows.
    """
    if not data.is_file():
        raise FileNotFoundError(
            f"no file {str(data)[:200]!r}; give ratings or clicks as csv, parquet or jsonl (.gz too)"
        )
    if mark := next((mark for mark in ("*", "?", "{period}") if mark in str(data.resolve())), ""):
        raise PlanError(
            f"{str(data.resolve())[:200]!r}: in a plan, {mark} stands for names of several files: rename the file or its directory"
        )
    columns = _roles(given) if given else guess_columns(str(data), options)
    plan = {
        "pipeline": OWN,
        "source": {"use": "files", "options": {"path": str(data.resolve()), **options}},
        "columns": columns.model_dump(mode="json"),
        "periods": {"rows": 1},
        "pretrain_periods": PRETRAINED,
        **trained_parts("clicks" if columns.label else "ranking"),
    }
    rows, repeated = _count_rows(Plan.model_validate(plan))
    plan["periods"] = {"rows": rows // PERIODS}
    if not columns.label and repeated > REPEATED:
        plan["ranking"] = {"repeats": True}
    return plan


def write_plan(plan: dict[str, Any]) -> Path:
    """Write a plan where it is found by name, and remove the pipeline of the last demo. Returns the plan's path.

    Raises PlanError, before anything is removed, if a pipeline of this name is not a demo's.
    """
    home, pipeline = Settings().home.resolve(), str(plan["pipeline"])
    path = home / "plans" / f"{pipeline}.yaml"
    _clear(home, pipeline, path)
    write_generated(path, HEADLINE, plan)
    return path


def _clear(home: Path, pipeline: str, plan: Path) -> None:
    settings = Settings()
    if settings.store or settings.data or settings.postgres:
        raise PlanError(
            "the demo writes only to its home: unset NIGHTLOOP_STORE, NIGHTLOOP_DATA and NIGHTLOOP_CATALOG first"
        )
    record, lake = home / "store" / "pipelines" / pipeline, home / "lake"
    served, directories = home / "served" / pipeline, [record, lake / pipeline]
    if pipeline != OWN:  # a user's file lies where its user put it
        directories.append(home / "deliveries" / pipeline)
    below = (file for directory in directories for file in directory.rglob("*"))
    left = any(lake.glob(f"{pipeline}.sqlite*")) or any(file.is_file() or file.is_symlink() for file in below)
    if (left or plan.exists()) and not (
        plan.is_file() and plan.read_text(encoding="utf-8", errors="replace").startswith(HEAD)
    ):
        raise PlanError(
            f"{home} holds files, a pipeline or a plan {pipeline!r} that no demo made: set NIGHTLOOP_HOME to another directory"
        )
    _refuse_in_use(pipeline, plan, served)
    for directory in (*directories, served):
        shutil.rmtree(directory, ignore_errors=True)
    reports = (home / "reports" / f"{pipeline}{name}" for name in (".html", ".tuning.html", ".tuning.json"))
    for file in (*lake.glob(f"{pipeline}.sqlite*"), *reports, plan):
        file.unlink(missing_ok=True)


def _refuse_in_use(pipeline: str, plan: Path, served: Path) -> None:
    """Raise PlanError if a person works with the last demo's pipeline: acts, an edited plan, more nights, records, a run."""
    objects = open_store()
    acts = [
        entry for entry in entries_by_hand(read_log(objects, pipeline)) if entry.reason not in (COMPLAINTS, BEGINNING)
    ]
    if acts:
        reason = f"{acts[-1].action} by {acts[-1].by} (entry {acts[-1].number}: {plain(acts[-1].reason, 200)})"
    elif plan.exists() and not is_generated(plan, HEAD):
        reason = f"its plan {plan} was edited"
    elif objects.read(manifest_key(pipeline, max(PERIODS, LAST + 1), 1)) is not None:
        reason = "nights were run after those of the demo"
    elif pipeline != "clicks" and served.exists() and any(served.rglob("*.jsonl")):  # the demo of clicks serves itself
        reason = f"what was served lies in {served}"
    elif reason := lease_words(objects, lease_key(pipeline), store_clock(objects), ""):
        reason = f"a run is active: {reason}"
    if reason:
        raise PlanError(
            f"the pipeline {pipeline!r} of the last demo is in use: {reason}. A new demo would remove it. Set NIGHTLOOP_HOME to another "
            "directory; to keep this one, give its plan another file and pipeline name"
        )


def _roles(given: str) -> Columns:
    """`user=uid,item=sku,time=at,label=clicked` as columns. Raises PlanError if a role is missing or unknown."""
    pairs = dict(part.partition("=")[::2] for part in given.split(","))
    unknown = sorted(set(pairs) - {"user", "item", "time", "label", "time_unit", "time_format"})
    missing = [role for role in ("user", "item", "time") if not pairs.get(role)]
    if unknown or missing:
        wrong = [f"no role {role!r}" for role in unknown] + [f"{role} is missing" for role in missing]
        raise PlanError(
            f"columns: given {given[:200]!r}: {', '.join(wrong)}; write user=...,item=...,time=... and, if there are "
            "clicks, label=..."
        )
    return Columns.model_validate(pairs)


def options_of(given: Sequence[str]) -> dict[str, Any]:
    """`delimiter=;`, `names=[user, item, time]` as options of the source. Raises PlanError if one has another form."""
    options: dict[str, Any] = {}
    for option in given:
        name, sign, value = option.partition("=")
        if not sign or not name.strip():
            raise PlanError(
                f"option: given {option[:80]!r}; write NAME=VALUE, such as delimiter=; or names=[user, item, time]"
            )
        options[name.strip()] = yaml.safe_load(value) if value.strip()[:1] in "[tf" and value.strip() else value
    return options


def _count_rows(plan: Plan) -> tuple[int, float]:
    """The number of rows in the file, and the share of its first ones whose user took the item in an earlier row.

    Raises PlanError if there are too few for the periods.
    """
    source, ids = build(plan.source), (plan.columns.user, plan.columns.item)
    with TemporaryDirectory() as room, Warehouse.open(Settings(home=Path(room)), plan.pipeline) as warehouse:

        def count() -> tuple[int, float]:
            rows, first = 0, [pa.table({name: pa.array([], pa.string()) for name in ids})]
            for batch in source.batches(warehouse, period(plan.periods, 0), plan.columns):
                if rows < SAMPLE:
                    first.append(pa.table({name: as_ids(flat_column(batch, name), name) for name in ids}))
                rows += batch.num_rows
            pairs = pa.concat_tables(first)
            return rows, 1 - pairs.group_by(list(ids)).aggregate([]).num_rows / max(pairs.num_rows, 1)

        rows, repeated = read_until_complete(warehouse, count)
    if rows < PERIODS * LEAST:
        raise PlanError(
            f"{source.describe()} has {rows:,} rows; {PERIODS} periods need at least {PERIODS * LEAST:,} to show anything"
        )
    return rows, repeated
