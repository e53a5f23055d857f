"""A store with a click champion of a usual size, for the benchmarks of serving."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch

from nightloop.tasks.data.vocabulary import Vocabulary, vocabulary_to_bytes
from nightloop.tasks.models import build
from nightloop.tasks.modules.checkpoint import to_bytes as weights_to_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.entries import Act, draft_entry
from nightloop.tasks.record.manifest import CheckpointRef, Manifest

SIZES = {"user": 20_000, "item": 5_000, **{f"c{k}": 100 for k in range(8)}}
CONTEXT = {f"c{k}": f"c{k}-{7 * k}" for k in range(8)}


def plan(correctors: tuple[str, ...] = ("Recalibration", "Counters", "ReLoop2")) -> Plan:
    """DeepFM with its usual layers over 10 fields, and correctors."""
    return Plan.model_validate({
        "pipeline": "bench", "source": {"use": "files", "options": {"path": "x.csv"}},
        "columns": {"user": "u", "item": "i", "time": "t", "label": "y", "categorical": [*SIZES][2:]},
        "periods": {"rows": 1}, "pretrain": {"use": "FineTune"}, "model": {"use": "DeepFM"},
        "strategies": {"FineTune": {"use": "FineTune"}}, "correctors": {name: {"use": name} for name in correctors},
    })  # fmt: skip


def night(objects: Directory, order: Plan, period: int) -> Manifest:
    """A night with weights of its own, whose candidate waits to be promoted."""
    generator = torch.Generator().manual_seed(period)
    model = build(order.model.use, order.model.options, tuple(SIZES), 0)
    weights = {f"table.{f}": model.new_rows(f, n, generator) * 20 for f, n in SIZES.items()} | model.dense(generator)
    ids = {f: pa.array([f"{f}-{j}" for j in range(n)], pa.large_string()) for f, n in SIZES.items()}
    words = Vocabulary(ids, {f: pa.array([0] * n, pa.int32()) for f, n in SIZES.items()})
    kept = CheckpointRef(
        weights=blobs.put(objects, weights_to_bytes(weights)), memory=blobs.put(objects, weights_to_bytes({}))
    )
    before = manifest_store.current_manifest(objects, "bench", period - 1) if period else None
    manifest = Manifest(
        pipeline="bench", period=period, name=f"{period:06d}", revision=1, previous=before.hash if before else None,
        outcome="complete", reason="", plan=order.model_dump(mode="json"), logs=(), validated=(),
        vocabulary=blobs.put(objects, vocabulary_to_bytes(words)), served=None, scores={}, checkpoints={"FineTune": kept}, judged={},
        verdict="promote", champion=None,
    )  # fmt: skip
    if not manifest_store.create_manifest(objects, manifest):
        raise RuntimeError("the bench's night could not be written")
    return manifest


def promoted(objects: Directory, manifest: Manifest) -> None:
    """Make the night's candidate the champion."""
    act = Act("gate", "2026-01-01T00:00:00+00:00", "bench", manifest.period)
    promotion_log.append_promotion(objects, "bench", draft_entry(manifest, "FineTune", act), manifest.period)


def store(path: Path, order: Plan) -> Directory:
    """A store with one champion."""
    objects = Directory(path)
    promoted(objects, night(objects, order, 0))
    return objects
