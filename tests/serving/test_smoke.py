"""Smoke test: a candidate is tried where it was not trained; what is wrong with it is said, trouble is raised."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.serving import fork_server, fresh_process, smoke
from tests.serving import make_store as made

pytestmark = pytest.mark.flow  # the fork server is a process


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(scope="module", autouse=True)
def _one_nursery() -> Iterator[None]:
    yield
    fresh_process.fork_server_of_process().close()


def settings(place: Path) -> Settings:
    return Settings(store=str(place))


def tried(place: Path, manifest: Manifest, **changes: Any) -> smoke.SmokeResult:
    plan = changes.pop("plan", made.ranking_plan())
    given = {"checkpoint": manifest.checkpoints["FineTune"], "vocabulary": str(manifest.vocabulary), **changes}
    return smoke.smoke(settings(place), plan, **given)


@pytest.mark.parametrize("plan", [made.ranking_plan(True), made.click_plan()], ids=["ranking", "ctr"])
def test_a_sound_candidate_passes(place: Path, plan: Any) -> None:
    _, manifest = made.store(place, plan)
    expected = smoke.predictions(plan, made.weights(plan), made.vocabulary(plan))
    assert tried(place, manifest, plan=plan, expected=expected) == smoke.SmokeResult(
        True, "64 predictions of a fresh process agree"
    )
    assert tried(place, manifest, plan=plan).ok


def test_other_weights_than_were_trained_fail(place: Path) -> None:
    plan = made.ranking_plan()
    _, manifest = made.store(place, plan)
    expected = smoke.predictions(plan, made.weights(plan, seed=1), made.vocabulary(plan))
    found = tried(place, manifest, expected=expected)
    assert not found.ok and "in a fresh process" in found.reason


def test_a_candidate_that_is_not_whole_fails_with_the_reason(place: Path) -> None:
    _, manifest = made.store(place, made.ranking_plan())
    expected = [0.0] * 64
    assert (
        "not in the store"
        in tried(place, manifest, checkpoint=made.lost(made.ranking_plan()), expected=expected).reason
    )
    made.damage(place, manifest.checkpoints["FineTune"].weights, b"cut")
    assert "It is not used" in tried(place, manifest, expected=expected).reason
    assert "the candidate is incomplete" in tried(place, manifest).reason


def test_a_plan_the_fresh_process_cannot_build_fails(place: Path) -> None:
    _, manifest = made.store(place, made.ranking_plan())
    gone = made.ranking_plan().model_copy(
        update={"model": made.ranking_plan().model.model_copy(update={"use": "Gone"})}
    )
    found = tried(place, manifest, plan=gone, expected=[0.0] * 64)
    assert not found.ok and "Gone" in found.reason


def test_a_relative_store_is_the_callers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, manifest = made.store(place, made.ranking_plan())
    fresh_process.fork_server_of_process()
    monkeypatch.chdir(place.parent)
    assert smoke.smoke(
        Settings(store="store"), made.ranking_plan(), manifest.checkpoints["FineTune"], str(manifest.vocabulary)
    ).ok


def test_children_are_fresh_and_not_this_process(place: Path) -> None:
    """A module put into this process is unknown to the child, so is what an earlier child did."""
    _, manifest = made.store(place, made.ranking_plan())
    before = fresh_process.fork_server_of_process()
    assert tried(place, manifest).ok and tried(place, manifest).ok
    assert fresh_process.fork_server_of_process() is before and before._process.pid != os.getpid()


def test_trouble_is_raised_not_recorded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, manifest = made.store(place, made.ranking_plan())
    fresh_process.fork_server_of_process()._process.kill()
    fresh_process.fork_server_of_process()._process.wait()
    assert tried(place, manifest).ok, "a dead nursery is replaced"
    monkeypatch.setattr(fresh_process.ForkServer, "ask", lambda self, request: {"trouble": "signal 9"})
    with pytest.raises(RuntimeError, match=r"signal 9; run the night again"):
        tried(place, manifest)


def test_a_fault_of_the_code_says_nothing_about_the_candidate(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: object) -> object:
        raise KeyError("table.user")

    plan = made.ranking_plan()
    _, manifest = made.store(place, plan)
    asked: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(fresh_process.ForkServer, "ask", lambda self, request: asked.append(request) or {"trouble": "x"})
        with pytest.raises(ConflictError):
            tried(place, manifest)
    monkeypatch.setattr(fork_server, "load_model", broken)
    answer = fork_server.answer(asked[0])
    assert answer["bug"] == "KeyError: 'table.user'" and "in broken" in answer["traceback"]
    monkeypatch.setattr(fresh_process.ForkServer, "ask", lambda self, request: answer)
    found = tried(place, manifest)
    assert not found.ok and found.bug and "KeyError: 'table.user'" in found.reason and "in broken" in caplog.text


@pytest.mark.parametrize(
    "request_line", ['{"directory": "/not there", "seconds": 5}\n', '{"directory": "/half of a re']
)
def test_an_asker_that_was_killed_leaves_no_traceback_on_its_terminal(request_line: str) -> None:
    words = [sys.executable, "-c", "from nightloop.tasks.serving.fork_server import main; main()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as server:
        assert server.stdin and server.stdout and server.stderr
        server.stdout.close()
        server.stdin.write(request_line)
        server.stdin.close()
        assert server.stderr.read() == ""


def test_a_child_that_dies_or_hangs_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def replies(answer: Any, seconds: int) -> dict[str, Any]:
        monkeypatch.setattr(fork_server, "answer", answer)
        out = io.StringIO()
        fork_server.serve_requests(io.StringIO(json.dumps({"seconds": seconds}) + "\n"), out)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    assert "exit code 3" in replies(lambda request: os._exit(3), 5)["trouble"]
    assert "signal 9" in replies(lambda request: os.kill(os.getpid(), 9), 5)["trouble"]
    assert replies(lambda request: [None for _ in iter(int, 1)], 1)["trouble"] == "no prediction within 1 s"


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [([1.0], [1.0, 2.0], "were expected"), ([], [], "were expected"), ([1.0], [float("nan")], "NaN"),
     ([1.0, 2.0], [1.0, 2.1], "row 1"), ([1e6], [1e6 + 2.0], "row 0")],
)  # fmt: skip
def test_compare_refuses(expected: list[float], found: list[float], said: str) -> None:
    result = smoke.compare_predictions(expected, found)
    assert not result.ok and said in result.reason


def test_compare_allows_rounding_only() -> None:
    assert smoke.compare_predictions([1.0, 1e6], [1.0 + 5e-7, 1e6 + 0.5]).ok
    assert not smoke.compare_predictions([0.0], [2e-6]).ok


def test_questions_cover_the_vocabulary_and_strangers() -> None:
    plan = made.click_plan()
    asked = smoke.smoke_questions(plan, made.vocabulary(plan))
    assert {"u0", "u11", smoke.UNKNOWN_ID} <= set(asked.users) and {"i0", "i29", smoke.UNKNOWN_ID} <= set(asked.items)
    assert set(asked.features) == {"device", "age"} and len(asked.users) == len(asked.items) == smoke.ROWS
