"""A store with one night and a champion, made without training: for the tests of serving."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch

from nightloop.tasks.data import vocabulary as v
from nightloop.tasks.modules.checkpoint import Weights, to_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Directory, Objects
from nightloop.tasks.objects.probe import mark_store
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.entries import Act, Entry, draft_entry
from nightloop.tasks.record.manifest import CheckpointRef, Manifest, PeriodLogs, PeriodValidation, StrategyVerdict

USERS, ITEMS, WIDTH = 12, 30, 4
WHEN = "2026-01-02T02:00:00+00:00"


def ranking_plan(biases: bool = False) -> Plan:
    return Plan.model_validate({
        "pipeline": "books",
        "source": {"use": "files", "options": {"path": "x.csv"}},
        "columns": {"user": "u", "item": "i", "time": "t"},
        "periods": {"rows": 10},
        "pretrain": {"use": "FineTune"},
        "model": {"use": "MF", "options": {"width": WIDTH, "biases": biases}},
        "strategies": {"FineTune": {"use": "FineTune"}, "NoUpdate": {"use": "NoUpdate"}},
    })  # fmt: skip


def click_plan() -> Plan:
    columns = {"user": "u", "item": "i", "time": "t", "label": "y", "categorical": ["device"], "numeric": ["age"]}
    model = {"use": "DeepFM", "options": {"width": 3, "hidden": [8]}}
    return ranking_plan().model_copy(
        update={
            "columns": Plan.model_fields["columns"].annotation.model_validate(columns),  # type: ignore[union-attr]
            "model": Plan.model_fields["model"].annotation.model_validate(model),  # type: ignore[union-attr]
        }
    )


def vocabulary(plan: Plan) -> v.Vocabulary:
    sizes = {"user": USERS, "item": ITEMS, "device": 3}
    fields = ("user", "item", *plan.columns.categorical)
    ids = {f: pa.array([f"{f[0]}{n}" for n in range(sizes[f])], pa.large_string()) for f in fields}
    return v.Vocabulary(ids, {f: pa.array([0] * sizes[f], pa.int32()) for f in fields})


def weights(plan: Plan, seed: int = 0) -> Weights:
    from nightloop.tasks.models import build

    columns = plan.columns
    model = build(plan.model.use, plan.model.options, ("user", "item", *columns.categorical), len(columns.numeric))
    words, generator = vocabulary(plan), torch.Generator().manual_seed(seed)
    tables = {f"table.{f}": torch.randn(len(words.ids[f]), model.width, generator=generator) for f in model.fields}
    return {**tables, **model.dense(generator)}


def night(objects: Objects, plan: Plan, period: int = 0, seed: int = 0) -> Manifest:
    """A published night whose gate says promote."""
    sha, none = blobs.put(objects, to_bytes(weights(plan, seed))), blobs.put(objects, to_bytes({}))
    kept = {name: CheckpointRef(weights=sha, memory=none) for name in plan.strategies}
    before = manifest_store.current_manifest(objects, plan.pipeline, period - 1) if period else None
    passed = PeriodValidation(verdict="passed", reasons=(), statistics={}, blob=blobs.put(objects, b"{}"))
    manifest = Manifest(
        pipeline=plan.pipeline, period=period, name=f"{period:06d}", revision=1,
        previous=before.hash if before else None, outcome="complete", reason="", plan=plan.model_dump(mode="json"),
        logs=(PeriodLogs(period=period, version=1, digest="d", rows=10, quarantined=0),), validated=(passed,),
        vocabulary=blobs.put(objects, v.vocabulary_to_bytes(vocabulary(plan))), served=None, scores={}, checkpoints=kept,
        judged={"FineTune": StrategyVerdict(verdict="promote", reasons=("better",), numbers={})}, verdict="promote",
        champion=None,
    )  # fmt: skip
    if not manifest_store.create_manifest(objects, manifest):
        raise RuntimeError("the night is there already")
    return manifest


def promote(objects: Objects, manifest: Manifest, expect: int = 0) -> Entry:
    act = Act("gate", WHEN, "better", manifest.period)
    entry = promotion_log.append_promotion(objects, manifest.pipeline, draft_entry(manifest, "FineTune", act), expect)
    if entry is None:
        raise RuntimeError("somebody was faster")
    return entry


def store(path: Path, plan: Plan) -> tuple[Directory, Manifest]:
    """A directory store with night 0 and its champion."""
    objects = Directory(path)
    mark_store(objects, str(path))
    manifest = night(objects, plan)
    promote(objects, manifest)
    return objects, manifest


def damage(path: Path, sha: str, data: bytes | None) -> None:
    """Overwrite or remove a blob behind the store's back."""
    place = path / "blobs" / sha
    place.chmod(0o600)
    place.unlink()
    if data is not None:
        place.write_bytes(data)


def lost(plan: Plan) -> CheckpointRef:
    return CheckpointRef(weights="0" * 64, memory="1" * 64)
