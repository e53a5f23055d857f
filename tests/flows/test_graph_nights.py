"""Nights of a plan with LightGCN: its graph goes from night to night, and the champion serves what was scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import nightloop.tasks.resources
from nightloop.tasks.modules.checkpoint import from_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import open_objects
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import manifest_store
from nightloop.tasks.serving.predictor import Predictor
from tests.flows.tiny_pipeline import make, plain, raw_plan, run


@pytest.mark.soak
def test_nights_with_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(monkeypatch)
    strategies = raw_plan(tmp_path)["strategies"]
    tiny = make(tmp_path, monkeypatch, {
        "model": {"use": "LightGCN", "options": {"width": 4, "graph": "incremental", "biases": True}},
        "strategies": {"still": strategies["still"], "tuned": strategies["tuned"]},
    })  # fmt: skip
    tiny.deliver(*range(4))
    nights = run(tiny, 1, 2, 3)
    assert [night.outcome for night in nights] == ["complete"] * 3
    objects = nightloop.tasks.resources.open_store()
    assert all(manifest_store.blob_damage(objects, manifest_store.blobs_of(night)) == [] for night in nights)
    assert set(nights[2].scores) >= {"still", "tuned"}

    kept = [
        {label: from_bytes(blobs.get(objects, night.checkpoints[label].weights)) for label in ("still", "tuned")}
        for night in nights
    ]
    assert all(torch.equal(made["still"]["kept/edges"], made["tuned"]["kept/edges"]) for made in kept)
    newest = [made["tuned"]["kept/edges"][:, 2] for made in kept]
    assert [int(edges.max()) for edges in newest] == [1, 2, 3]
    assert [len(edges.unique()) for edges in newest] == [2, 1, 1]
    assert Predictor.open(open_objects(Settings()), "tiny").recommend("nobody", 3)
