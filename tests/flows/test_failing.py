"""A strategy that fails stops no night: it keeps its last checkpoint, the night says so, and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import pytest

import nightloop.flows.nightly
import nightloop.tasks.deploy
import nightloop.tasks.promote
import nightloop.tasks.resources
import nightloop.tasks.retrain
from nightloop.flows.status import status
from nightloop.tasks.gate.decide import Decision, reject_winner
from nightloop.tasks.gate.policy import SmokeResult
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.record.manifest import ChampionRef, Manifest, StrategyVerdict
from nightloop.tasks.reports.verdict import sentence, verdict_markdown
from nightloop.tasks.strategies.fine_tune import FineTune
from tests.flows.tiny_pipeline import WHEN, Tiny, begin, run
from tests.record.act_sequences import check_invariants

pytestmark = pytest.mark.xdist_group("flows")
REAL = nightloop.tasks.retrain.fold
NAN = DataError("training diverged in epoch 1 of 1: loss nan")


@pytest.fixture
def begun(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return begin(tmp_path_factory, monkeypatch, 1, 2)


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException, times: int = 99, whole: bool = False) -> list[str]:
    """From here on `tuned` (with `whole`: every strategy) raises this, so many times. Returns who was trained."""
    tried: list[str] = []

    def fold(model: object, strategy: object, *rest: Any) -> Any:
        tried.append(type(strategy).__name__)
        if (whole or isinstance(strategy, FineTune)) and tried.count(type(strategy).__name__) <= times:
            raise error
        return REAL(model, strategy, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(nightloop.tasks.retrain, "fold", fold)
    return tried


def test_what_diverges_twice_is_recorded_and_joins_again_the_next_night(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun.chain()[2]
    with monkeypatch.context() as patch:
        tried = broken(patch, NAN)
        (night,) = run(begun, 3)
        assert tried.count("FineTune") == 2, "tried once more"
    assert night.outcome == "complete" and night.failed["tuned"].kind == "failed"
    assert night.failed["tuned"].reason == str(NAN) and list(night.failed) == ["tuned"]
    assert night.checkpoints["tuned"] == before.checkpoints["tuned"]
    assert night.checkpoints["popular"] != before.checkpoints["popular"]
    judged = night.judged["tuned"]
    assert (
        judged.verdict == "insufficient_evidence"
        and "keeps its last checkpoint: training diverged" in judged.reasons[0]
    )
    assert "failed and kept at their last checkpoints: tuned (training diverged" in sentence(night)
    assert "training diverged" in verdict_markdown(night)
    (after,) = run(begun, 4)
    assert not after.failed and after.checkpoints["tuned"] != night.checkpoints["tuned"]
    check_invariants(nightloop.tasks.resources.open_store(), {}, "tiny")


def test_what_went_wrong_once_is_no_failure(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = broken(monkeypatch, NAN, times=1)
    (night,) = run(begun, 3)
    assert not night.failed and tried.count("FineTune") == 2


def test_an_error_nobody_expects_is_told_with_its_traceback_and_retried_by_hand(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        broken(patch, KeyError("table.item, password=hunter2"))
        (night,) = run(begun, 3)
    assert night.failed["tuned"].kind == "error" and night.failed["tuned"].reason.startswith("KeyError")
    assert "hunter2" not in caplog.text + night.data.decode() and "Traceback" in caplog.text
    assert run(begun, 3) == [night], "a finished night is not run again by itself"
    tried = broken(monkeypatch, NAN, times=0)
    plan, landed = begun.plan, nightloop.flows.nightly.collect_all(begun.plan, 3)
    mended = nightloop.flows.nightly.night(plan, landed, None, (), True)
    assert mended.revision == 2 and not mended.failed and tried == ["FineTune"], "the others are reused"
    assert mended.checkpoints["popular"] == night.checkpoints["popular"]
    assert nightloop.flows.nightly.night(plan, landed, None, (), True) == mended, "nothing failed in it any more"


def test_an_error_of_a_library_is_no_finding_about_the_rows(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, ValueError("operands could not be broadcast together"))
    (night,) = run(begun, 3)
    assert night.failed["tuned"].kind == "error" and night.failed["tuned"].reason.startswith("ValueError")


def test_a_strategy_that_ends_the_process_fails_and_the_night_goes_on(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = broken(monkeypatch, SystemExit(3))
    (night,) = run(begun, 3)
    assert night.outcome == "complete" and tried.count("FineTune") == 2
    assert night.failed["tuned"].kind == "failed" and "the strategy called sys.exit(3)" in night.failed["tuned"].reason


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no memory"),
        OSError(28, "No space left on device"),
        BrokenProcessPool("a worker died"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
        KeyboardInterrupt(),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:30],
)
def test_what_is_wrong_with_the_machine_stops_the_night_which_resumes(
    begun: Tiny, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        tried = broken(patch, error)
        with pytest.raises(type(error)) as stopped:
            run(begun, 3)
        assert isinstance(error, KeyboardInterrupt) or str(stopped.value).count("retrain tuned 2026-01-04: ") == 1
        assert tried.count("FineTune") == 1, "not tried again"
    assert 3 not in begun.chain()
    (night,) = run(begun, 3)
    assert not night.failed


def test_where_all_fail_the_night_fails_and_nothing_is_recorded(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {key: value for key, value in begun.record().items() if not key.startswith("blobs/")}
    broken(monkeypatch, NAN, whole=True)
    with pytest.raises(ValueError, match=r"no strategy could learn from 2026-01-04, so nothing was recorded: still: "):
        run(begun, 3)
    assert {key: value for key, value in begun.record().items() if not key.startswith("blobs/")} == before


def test_a_root_that_fails_is_no_night(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = begin(tmp_path_factory, monkeypatch)

    def start(model: object, strategy: object, *rest: object) -> None:
        raise NAN

    monkeypatch.setattr(nightloop.tasks.retrain, "start_chain", start)
    with pytest.raises(ValueError, match=r"could not learn from 2026-01-02: training diverged"):
        run(tiny, 1)
    assert not tiny.chain()


def test_the_champions_last_weights_go_on_serving_and_that_is_said_first(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nightloop.tasks.promote.promote_by_hand.fn(begun.plan, "tuned", "", "", ("it is the one", True), WHEN)
    run(begun, 3)
    with monkeypatch.context() as patch:
        broken(patch, NAN)
        with caplog.at_level(logging.ERROR):
            nights = run(begun, 4, 5)
    assert "tuned could not learn from 2026-01-05" in caplog.text
    assert all(night.champion == night.served for night in nights if "tuned" in (night.champion or _none()).strategy)
    if nights[-1].champion == nights[0].served:
        assert sentence(nights[-1]).startswith("2026-01-06: tuned could not be retrained (training diverged")
        assert "its last weights continue to serve" in sentence(nights[-1])
    found = status(str(begun.path))
    first = next(one for one in found["findings"] if "tuned could not learn" in one["text"])
    assert "2 nights in a row" in first["text"] and "--retry-failed" in first["to_do"]
    with pytest.raises(
        ValueError, match=r"tuned failed in 2026-01-06 .*give the period of a night in which it was trained"
    ):
        nightloop.tasks.promote.promote_by_hand.fn(begun.plan, "tuned", "2026-01-06", "", ("again", True), WHEN)


def _none() -> ChampionRef:
    return ChampionRef.model_construct(strategy="", period=0)


def test_a_night_of_failure_is_no_evidence(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    real = nightloop.tasks.compare.decide  # type: ignore[attr-defined]

    def decide(rule: object, family: str, incumbent: object, nights: Any, *rest: object) -> Any:
        seen.append(set(nights[-1].challengers))
        seen.append(set(nights[0].challengers))
        return real(rule, family, incumbent, nights, *rest)

    monkeypatch.setattr("nightloop.tasks.compare.decide", decide)
    with monkeypatch.context() as patch:
        broken(patch, NAN)
        run(begun, 3)
    assert "tuned" not in seen[0]
    seen.clear()
    run(begun, 4)
    assert "tuned" in seen[0] and "tuned" not in seen[1], "neither then nor later"


def refusing(*names: str) -> Callable[..., SmokeResult]:
    """A smoke test that these weights fail."""

    def smoke(settings: object, plan: object, kept: Any, *rest: object, **more: object) -> SmokeResult:
        return SmokeResult(kept.weights not in names, "a table is missing")

    return smoke


def test_where_the_winner_fails_its_smoke_test_the_next_best_is_tried() -> None:
    def judged(effect: float) -> StrategyVerdict:
        return StrategyVerdict(verdict="promote", reasons=("It is surely better.",), numbers={"effect": effect})

    first = Decision({"a": judged(0.3), "b": judged(0.2), "c": judged(0.1)}, "promote", "a")
    broken = reject_winner(first, "a", "The smoke test failed: it broke", None, "hold")
    assert broken.judged["a"].verdict == "hold" and broken.winner == "b"
    second = reject_winner(first, "a", "The smoke test failed: a table is missing", None)
    assert (second.winner, second.verdict, second.judged["a"].verdict) == ("b", "promote", "reject")
    assert second.judged["a"].reasons[0].startswith("The smoke test failed")
    last = reject_winner(reject_winner(second, "b", "broken", None), "c", "broken", None)
    assert (last.winner, last.verdict) == (None, "reject")


def test_deploy_serves_who_passes(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    real = nightloop.tasks.deploy.with_smoke_test
    made: list[Decision] = []

    def tested(decision: Decision, incumbent: str | None, test: Any) -> Decision:
        everybody = {
            name: StrategyVerdict(verdict="promote", reasons=("better",), numbers={"effect": effect})
            for name, effect in (("tuned", 0.2), ("popular", 0.1))
        }
        monkeypatch.setattr(nightloop.tasks.deploy, "smoke", lambda settings, plan, kept, *rest, **more: tried(kept))
        made.append(real(replace(decision, judged=everybody, verdict="promote", winner="tuned"), incumbent, test))
        return made[-1]

    def tried(kept: Any) -> SmokeResult:
        asked.append(kept.weights)
        return SmokeResult(len(asked) > 1, "a table is missing")

    asked: list[str] = []
    monkeypatch.setattr(nightloop.tasks.deploy, "with_smoke_test", tested)
    (night,) = run(begun, 3)
    assert night.champion is not None and night.champion.strategy == "popular"
    assert night.judged["tuned"].verdict == "reject"


def test_acts_by_hand_are_smoke_tested(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def act(strategy: str) -> str:
        return nightloop.tasks.promote.promote_by_hand.fn(begun.plan, strategy, "", "", ("trial", True), WHEN)

    def back() -> str:
        return nightloop.tasks.promote.roll_back_by_hand.fn(begun.plan, "", "complaints", WHEN)

    newest: Manifest = begun.chain()[2]
    with monkeypatch.context() as patch:
        patch.setattr(nightloop.tasks.promote, "smoke", refusing(newest.checkpoints["tuned"].weights))
        with pytest.raises(
            ValueError, match=r"tuned of 2026-01-03 cannot serve, its smoke test failed: a table is missing"
        ):
            act("tuned")
        assert not begun.log()
        assert "popular of 2026-01-03 serves" in act("popular")
    act("tuned")
    with monkeypatch.context() as patch:
        patch.setattr(nightloop.tasks.promote, "smoke", refusing(newest.checkpoints["popular"].weights))
        with pytest.raises(ValueError, match=r"popular of 2026-01-03 cannot serve"):
            back()

        def trouble(*given: object, **more: object) -> SmokeResult:
            raise RuntimeError("the candidate could not be tried in a fresh process: no answer within 60 s")

        patch.setattr(nightloop.tasks.promote, "smoke", trouble)
        with pytest.raises(RuntimeError, match="could not be tried"):
            act("still")
        assert "popular of 2026-01-03 serves" in back() and "without a smoke test" in caplog.text


def test_weights_that_hold_nan_are_a_failure_of_that_night_and_stop_no_later_one(
    begun: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in may do it; a night that kept them would fail every night after it."""
    from nightloop.tasks.strategies.fine_tune import FineTune

    real = FineTune.update

    def broken(self: FineTune, model: Any, checkpoint: Any, logs: Any) -> Any:
        made = real(self, model, checkpoint, logs)
        return replace(made, weights={name: tensor * float("nan") for name, tensor in made.weights.items()})

    monkeypatch.setattr(FineTune, "update", broken)
    (night,) = run(begun, 3)
    assert night.failed["tuned"].reason.startswith("FineTune made weights that hold NaN or infinity, in table.")
    monkeypatch.setattr(FineTune, "update", real)
    (after,) = run(begun, 4)
    assert after.outcome == "complete" and not after.failed
