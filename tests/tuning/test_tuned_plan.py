"""The tuned plan: a new file that reads back, follows what was tuned, and never replaces what a person wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.tuning.spaces import apply_settings
from nightloop.tasks.tuning.tuned_plan import follow_tuned, refuse_edited, tuned_document, tuned_path, write_tuned_plan
from tests.plan.test_plans import raw

FAST = {"use": "FineTune", "options": {"optimizer": "reset"}}
STRATEGIES = {
    "fast": FAST,
    "averaged": {"use": "AverageWeights", "options": {"learner": FAST}},
    "other": {"use": "AverageWeights", "options": {"learner": {"use": "FineTune"}}},
    "several": {"use": "Hedge", "options": {"candidates": [FAST, {"use": "NoUpdate"}]}},
}


def plan() -> Plan:
    return Plan.model_validate({**raw(), "strategies": STRATEGIES})


def test_a_part_within_another_strategy_follows_the_one_that_was_tuned() -> None:
    tuned = apply_settings(plan(), "fast", {"strategy.training.l2": 0.5})
    found = follow_tuned(plan(), tuned, ["fast"])
    new = tuned.strategies["fast"].model_dump(mode="json")
    assert found.strategies["averaged"].options["learner"] == new
    assert found.strategies["several"].options["candidates"] == [new, {"use": "NoUpdate"}]
    assert found.strategies["other"] == plan().strategies["other"], "another part: FineTune with its defaults"


def test_a_part_given_by_its_name_alone_follows_too() -> None:
    parts = {"fast": Part(use="FineTune"), "averaged": Part(use="AverageWeights", options={"learner": "FineTune"})}
    given = plan().model_copy(update={"strategies": parts})
    tuned = follow_tuned(given, apply_settings(given, "fast", {"strategy.optimizer": "reset"}), ["fast"])
    assert tuned.strategies["averaged"].options == {"learner": {"use": "FineTune", "options": {"optimizer": "reset"}}}


def test_the_new_file_is_a_plan_with_notes_and_the_old_one_is_as_it_was(tmp_path: Path) -> None:
    source = tmp_path / "shop.yaml"
    source.write_text("# mine\n" + yaml.safe_dump({**raw(), "strategies": STRATEGIES}))
    before = source.read_bytes()
    path = tuned_path(source, True, tmp_path / "plans")
    tuned = apply_settings(plan(), "fast", {"strategy.training.l2": 0.5})
    write_tuned_plan(
        path, tuned_document({**raw(), "strategies": STRATEGIES}, tuned, "shop-tuned"), ["two\nlines", "three"]
    )
    assert path == tmp_path / "shop.tuned.yaml" and source.read_bytes() == before
    assert "\n# two lines\n# three\n" in path.read_text()
    read = Plan.model_validate(yaml.safe_load(path.read_text()))
    assert read == tuned.model_copy(update={"pipeline": "shop-tuned"})
    assert tuned_path(source, False, tmp_path / "plans") == tmp_path / "plans" / "shop.tuned.yaml"


def test_a_file_that_a_person_edited_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "shop.tuned.yaml"
    write_tuned_plan(path, raw(), ["first"])
    write_tuned_plan(path, raw(), ["again"])
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(PlanError, match=r"shop\.tuned\.yaml was edited.*--out"):
        write_tuned_plan(path, raw(), ["third"])


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(PlanError, match=r"out: .*pipe.yaml is not a regular file; give another path"):
        refuse_edited(tmp_path / "pipe.yaml")


def test_a_note_with_control_characters_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    """YAML refuses them in comments too, and a plan may lie at a path that has some."""
    path = tmp_path / "shop.tuned.yaml"
    write_tuned_plan(
        path, raw(), ["Tried from e\x1b]0;own\x07\x9b\u202e.yaml, password=hunter2hunter2\x85pipeline: other"]
    )
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == raw()
    assert "\\x1b" in path.read_text(encoding="utf-8") and "hunter2" not in path.read_text(encoding="utf-8")
