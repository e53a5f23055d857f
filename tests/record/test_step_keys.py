"""Step keys: what chooses by how the plan ranks depends on it, and nothing else does."""

from __future__ import annotations

import pytest

from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.night_context import Night
from nightloop.tasks.record.step_keys import retrain_key

FINE = {"use": "FineTune"}


def key(label: str, **changed: object) -> str:
    plan = Plan.model_validate({
        "pipeline": "p", "source": {"use": "simulated"}, "columns": {"user": "user_id", "item": "item_id", "time": "ts"},
        "periods": {"start": "2026-01-01"}, "pretrain": {"use": "FullRetrain"}, "model": {"use": "MF"},
        "strategies": {"fine": FINE, "hedge": {"use": "Hedge", "options": {"candidates": [FINE, {"use": "ALS"}]}}},
        **changed,
    })  # fmt: skip
    night = Night(plan, 3, "x", 0, None, (), (), "0" * 64, None, "", 0)
    return retrain_key(night, label, ())


@pytest.mark.parametrize("changed", [{"ranking": {"negatives": 50}}, {"gate": {"metric": "recall@10"}}])
def test_a_prequential_choice_depends_on_how_the_plan_ranks(changed: dict[str, object]) -> None:
    assert key("hedge", **changed) != key("hedge")
    assert key("fine", **changed) == key("fine")
