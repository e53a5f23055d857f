"""Taken items: what a user took is not recommended again, unless people take things again or the plan says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.taken_items import TakenItems, add_taken_items, load_taken_items
from nightloop.tasks.serving.predictor import Predictor
from tests.serving import make_store as made


def test_a_ranking_leaves_out_what_its_users_took_unless_it_is_told_otherwise() -> None:
    plan = made.ranking_plan()
    asked = {(): True, (("repeats", True),): False}
    for ranking, expected in asked.items():
        altered = plan.model_copy(update={"ranking": plan.ranking.model_copy(update=dict(ranking))})
        assert altered.excludes_taken is expected
        for given in (True, False):
            serving = plan.serving.model_copy(update={"exclude_taken": given})
            assert altered.model_copy(update={"serving": serving}).excludes_taken is given
    assert not made.click_plan().excludes_taken
    with pytest.raises(ValueError, match="exclude_taken: given true for a plan with a label"):
        Plan.model_validate(made.click_plan().model_dump() | {"serving": {"exclude_taken": True}})


def test_plans_and_nights_of_before_have_the_same_bytes(tmp_path: Path) -> None:
    plan = made.ranking_plan().model_dump(mode="json")
    assert "repeats" not in plan["ranking"] and "exclude_taken" not in plan["serving"]
    assert b"taken" not in made.night(Directory(tmp_path), made.ranking_plan()).data


def test_the_predictor_leaves_out_what_a_user_took(tmp_path: Path) -> None:
    objects, plan = Directory(tmp_path), made.ranking_plan()
    parts = add_taken_items(objects, (), torch.stack([torch.full((28,), 4), torch.arange(28)], 1))
    blob = parts[0].blob
    manifest = made.night(Directory(tmp_path / "other"), plan).model_copy(update={"taken": parts})
    for name in manifest_store.blobs_of(manifest):
        if name != blob:
            blobs.put(objects, blobs.get(Directory(tmp_path / "other"), name))
    assert blob in manifest_store.blobs_of(manifest), "a check of the night reads it"
    assert manifest_store.create_manifest(objects, manifest)
    made.promote(objects, manifest)
    predictor = Predictor.open(objects, plan.pipeline)
    assert {item for item, _ in predictor.recommend("u4", k=10)} == {"i28", "i29"}
    assert [item for item, _ in predictor.recommend("u4", k=10, exclude=["i28"])] == ["i29"]
    assert len(predictor.recommend("u3", k=30)) == len(predictor.recommend("nobody", k=30)) == 30
    with pytest.raises(ValueError, match="taken items of user 4, 4 users in the vocabulary"):
        load_taken_items(objects, parts, 4)


def test_nights_add_their_own_pairs_and_write_little_of_the_others(tmp_path: Path) -> None:
    objects, g, parts = Directory(tmp_path), torch.Generator().manual_seed(0), ()
    nights = [
        torch.stack([torch.randint(50, (40,), generator=g), torch.randint(900, (40,), generator=g)], 1)
        for _ in range(60)
    ]
    written = 0
    for night in nights:
        before = {part.blob for part in parts}
        parts = add_taken_items(objects, parts, night)
        written += sum(part.pairs for part in parts if part.blob not in before)
    assert len(parts) <= 6 and written < 5 * 60 * 40
    found = load_taken_items(objects, parts, 50)
    for user in range(50):
        assert found.of(user) == sorted({int(item) for night in nights for u, item in night.tolist() if u == user})


def test_a_night_without_rows_keeps_what_there_is(tmp_path: Path) -> None:
    objects = Directory(tmp_path)
    parts = add_taken_items(objects, (), torch.tensor([[1, 2]]))
    assert add_taken_items(objects, parts, torch.zeros(0, 2, dtype=torch.int64)) == parts
    assert load_taken_items(objects, (), 3).of(1) == []


def test_items_of_a_user() -> None:
    taken = TakenItems(torch.tensor([0, 2, 2]), torch.tensor([7, 9], dtype=torch.int32))
    assert [taken.of(user) for user in (0, 1, 2, -1)] == [[7, 9], [], [], []]
