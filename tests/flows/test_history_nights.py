"""Nights of a plan with histories: what is read, scored, kept and served, and what makes their work another's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nightloop.tasks.resources
from nightloop.tasks.modules.checkpoint import from_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import open_objects
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import step_cache
from nightloop.tasks.record.load_logs import history_logs, logs_of, vocabulary_of
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.night_context import Night, history
from nightloop.tasks.record.step_keys import retrain_key
from nightloop.tasks.serving.predictor import Predictor
from tests.flows.tiny_pipeline import Tiny, make, plain, raw_plan, run

KEPT = "kept/latest/table.user"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    plain(monkeypatch)
    asked = raw_plan(tmp_path)
    found = make(tmp_path, monkeypatch, {
        "columns": {**asked["columns"], "history_length": 3},
        "model": {"use": "GRU4Rec", "options": {"width": 4}},
        "strategies": {"still": {"use": "NoUpdate"}, "tuned": asked["strategies"]["tuned"]},
    })  # fmt: skip
    found.deliver(*range(4))
    return found


def as_night(tiny: Tiny, manifest: Manifest, previous: Manifest) -> Night:
    """The night that made a manifest, as its tasks had it."""
    return Night(
        plan=tiny.plan, period=manifest.period, name=manifest.name, revision=1, previous=previous, logs=manifest.logs,
        validated=manifest.validated, vocabulary=manifest.vocabulary or "", champion=None, pinned="", entry=0,
    )  # fmt: skip


def test_nights_with_histories(tiny: Tiny) -> None:
    nights = run(tiny, 1, 2, 3)
    assert [n.outcome for n in nights] == ["complete"] * 3
    assert set(nights[2].scores) >= {"still", "tuned"} and nights[2].scores["tuned"].means["recall@20"] > 0
    objects, night = nightloop.tasks.resources.open_store(), as_night(tiny, nights[2], nights[1])
    kept = from_bytes(blobs.get(objects, nights[2].checkpoints["tuned"].weights))[KEPT]
    with nightloop.tasks.resources.open_lake(tiny.plan) as warehouse:
        newest = logs_of(objects, warehouse, night, night.logs)
        whole = logs_of(objects, warehouse, night, history(objects, night, 9))
    assert torch.equal(newest.history, whole.history[whole.periods == 3]) and bool((newest.history[0] >= 0).any())
    assert torch.equal(kept, whole.latest + 1), "what is served by is what was taken last at the close"

    predictor, words = Predictor.open(open_objects(Settings()), "tiny"), vocabulary_of(objects, night)
    user = words.ids["user"][int(newest.rows[-1, 0])].as_py()
    assert len(predictor.recommend(user, k=5)) == 5
    assert predictor.recommend("a stranger", k=3) == predictor.recommend("another", k=3)
    _an_earlier_period_is_part_of_the_key(night, nights[2])


def _an_earlier_period_is_part_of_the_key(night: Night, manifest: Manifest) -> None:
    objects = nightloop.tasks.resources.open_store()
    told = history_logs(objects, night)
    assert [part.period for part in told] == [0, 1, 2, 3]
    late = [part.model_copy(update={"digest": "late"}) if not part.period else part for part in told]
    assert retrain_key(night, "tuned", told) != retrain_key(night, "tuned", late)
    key = retrain_key(night, "tuned", told)
    done = step_cache.cached_result(objects, "tiny", key, "retrain")
    assert done and done["kept"] == manifest.checkpoints["tuned"].model_dump(), "that is the key the night used"
    without = night.plan.columns.model_copy(update={"history_length": 0})
    assert history_logs(objects, replace(night, plan=night.plan.model_copy(update={"columns": without}))) == []
