"""The gate's policy: what it proposes if a person has to approve it."""

from __future__ import annotations

import pytest

from nightloop.tasks.gate.policy import proposed
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.record.manifest import StrategyVerdict
from tests.objects.memory_objects import Memory
from tests.record.act_sequences import night


def test_of_several_that_may_serve_the_gate_proposes_the_one_that_gained_most() -> None:
    """`nightloop promote PLAN --reason TEXT` asked for a name, although the gate alone would have promoted the second."""
    gains = {"A": ("promote", 0.01), "B": ("promote", 0.02), "C": ("hold", 0.03)}
    judged = {
        name: StrategyVerdict.model_validate({"verdict": verdict, "reasons": ("why",), "numbers": {"effect": gain}})
        for name, (verdict, gain) in gains.items()
    }
    made = night(Memory.fresh(), 1, None)
    assert proposed(made.model_copy(update={"judged": judged})) == "B"
    with pytest.raises(PlanError, match="proposes no strategy"):
        proposed(made.model_copy(update={"judged": {"C": judged["C"]}}))
