"""The verb as a user runs it: a real Prefect server, cells in processes of their own, one JSON document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName
from typer.testing import CliRunner

import nightloop.flows.cli.main as cli
from tests.flows.run_cli import refused, said
from tests.flows.tiny_pipeline import Tiny, begin
from tests.prefect_server import Server

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    with pytest.MonkeyPatch.context() as plainly:
        found = begin(tmp_path_factory, plainly, 1, 2)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(found.home / "home"))
    return found


@pytest.mark.soak
def test_it_is_one_json_document_and_the_next_run_has_nothing_to_do(tiny: Tiny, nightloop_up: Server) -> None:
    words = (str(tiny.path), "--strategies", "popular", "--end", "2026-01-04", "--json")
    done = said(nightloop_up.environment, "bakeoff", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert {line["entrant"] for line in found["leaderboard"]["uniform"]} == {"popular"}
    cell = found["cells"][0]
    assert cell["peak"] > cell["idle"] > 10_000_000, "measured in a process of its own"
    with get_client(sync_client=True) as client:
        keys = {a.key for a in client.read_latest_artifacts()}
        cells = TaskRunFilter(name=TaskRunFilterName(any_=["popular, seed 0"]))
        names = [run.name for run in client.read_task_runs(task_run_filter=cells)]
    assert {"tiny-bakeoff", "tiny-bakeoff-uniform"} <= keys
    assert names == ["popular, seed 0"]
    again = json.loads(said({}, "bakeoff", *words).stdout)
    assert again == found, "what is kept is told again, seconds and all, and without Prefect"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--strategies", "nobody", "--seeds", "1,1"), "the bake-off has 2 mistakes; nothing was run"),
        (("--seeds", "one"), "seeds: given 'one'"),
        (("--runner", "dask:here"), "runner: "),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_2(
    tiny: Tiny,
    words: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert expected in refused(monkeypatch, capsys, "bakeoff", str(tiny.path), *words)


def test_the_verb_explains_itself() -> None:
    told = CliRunner().invoke(cli.app, ["bakeoff", "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0 and "equal footing" in told.output
