"""Members of a blend that are strategies of the plan are trained once a night, and the blend is the same to the bit."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.popularity import Popularity
from tests.flows.tiny_pipeline import Tiny, begin, raw_plan, run

pytestmark = pytest.mark.xdist_group("night")
TUNED = {"use": "FineTune", "options": {"training": {"epochs": 1}}}
OTHER = {"use": "FineTune", "options": {"training": {"epochs": 2}}}
BLEND = {"use": "Blend", "options": {"members": [TUNED, {"use": "Popularity"}, {"use": "ItemKNN"}]}}
HEDGE = {"use": "Hedge", "options": {"candidates": [OTHER, {"use": "Popularity"}]}}


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Eight days delivered, no night yet."""
    return begin(tmp_path_factory, monkeypatch)


def plan(tiny: Tiny, **strategies: object) -> None:
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, {"strategies": strategies})))


def test_a_member_that_is_a_strategy_of_the_plan_is_trained_once(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[tuple[str, int]] = Counter()
    for kind in (FineTune, Popularity):
        real = kind.update

        def counted(self, model, checkpoint, logs, real=real):  # type: ignore[no-untyped-def]
            calls[type(self).__name__ + str(getattr(self, "training", "")), logs.period] += 1
            return real(self, model, checkpoint, logs)

        monkeypatch.setattr(kind, "update", counted)
    plan(tiny, blend=BLEND, hedge=HEDGE, tuned=TUNED, popular={"use": "Popularity"})
    together = run(tiny, 1, 2, 3)
    assert calls and {count for (name, _), count in calls.items() if "epochs=1" in name or name == "Popularity"} == {1}
    assert {count for (name, _), count in calls.items() if "epochs=2" in name} == {1}, "no strategy of the plan is that"
    assert list(together[2].checkpoints) == ["blend", "hedge", "popular", "tuned"]
    plan(tiny, blend=BLEND, hedge=HEDGE)
    monkeypatch.setattr("nightloop.tasks.record.step_cache.cached_result", lambda *_: None)
    alone = run(tiny, 1, 2, 3)
    assert all(set(night.checkpoints) == {"blend", "hedge"} for night in alone)
    for label in ("blend", "hedge"):
        assert [night.checkpoints[label] for night in alone] == [night.checkpoints[label] for night in together]


def test_a_member_whose_own_strategy_failed_is_left_out_of_the_blend(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FineTune.update

    def fails(self, model, checkpoint, logs):  # type: ignore[no-untyped-def]
        if logs.period == 3:
            raise DataError("these rows cannot be learned from")
        return real(self, model, checkpoint, logs)

    monkeypatch.setattr(FineTune, "update", fails)
    plan(tiny, blend=BLEND, tuned=TUNED, popular={"use": "Popularity"})
    nights = run(tiny, 1, 2, 3, 4)
    assert [sorted(night.failed) for night in nights] == [[], [], ["tuned"], []]
    assert len({night.checkpoints["blend"].weights for night in nights}) == 4
