"""The page of a run that is refused: its state is the sentence, and its log has no traceback, except that of a fault."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.exceptions import FailedRun

from nightloop.flows.cli.processes import can_list_processes, child_processes
from nightloop.flows.cli.short_errors import in_words
from nightloop.tasks.collect import collect
from nightloop.tasks.lake.landing import Landing
from nightloop.tasks.orchestration import flow, task
from nightloop.tasks.plan.errors import ConflictError, DataError
from nightloop.tasks.validate import validate
from tests.flows.tiny_pipeline import make, raw_plan
from tests.prefect_server import Server

pytestmark = [
    pytest.mark.xdist_group("ui"),
    pytest.mark.skipif(not can_list_processes(), reason="this system does not show the environment of processes"),
]


def page(server: Server, run: dict[str, Any]) -> str:
    """The log on the page of a run. Its last lines are sent when its process ends."""
    for _ in range(600):
        if run["id"] not in child_processes(server.home).values():
            break
        time.sleep(0.1)
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    return "\n".join(line["message"] for line in server.ask("/logs/filter", wanted))


def test_a_run_that_is_refused_fails_with_the_sentence_and_logs_no_traceback(nightloop_up: Server) -> None:
    run = nightloop_up.start("promote", {})
    assert run["state_name"] == "Failed"
    assert run["state"]["message"].startswith("a promotion needs a reason, which is kept in the promotion log")
    log = page(nightloop_up, run)
    assert "Finished in state Failed('a promotion needs a reason" in log and "Traceback" not in log


def test_a_run_whose_task_is_refused_logs_no_traceback(nightloop_up: Server) -> None:
    home = nightloop_up.place / "no-files"
    home.mkdir(exist_ok=True)
    (home / "tiny.yaml").write_text(yaml.safe_dump(raw_plan(home, {"pipeline": "no-files"})))
    run = nightloop_up.start("nightly", {"plan": str(home / "tiny.yaml"), "period": "2026-01-02"})
    log = page(nightloop_up, run)
    assert run["state_name"] == "Failed" and str(home / "in") in run["state"]["message"]
    assert run["state"]["message"] in log and "Traceback" not in log


def test_each_task_of_a_night_is_named_by_its_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = make(tmp_path, monkeypatch)
    landed = [Landing(index, 1, "", 1, True) for index in (1, 2)]
    assert validate.run_title({"plan": tiny.plan, "landed": landed}) == f"validate {tiny.name(2)}"
    assert collect.run_title({"plan": tiny.plan, "index": 2}) == f"collect {tiny.name(2)}"


def record(error: Exception, name: str = "prefect.task_runs") -> logging.LogRecord:
    """What Prefect logs of an error."""
    try:
        raise error
    except Exception:
        return logging.LogRecord(name, logging.ERROR, "engine.py", 1, "Task failed: %r", (error,), sys.exc_info())


def test_an_error_that_a_person_can_correct_is_a_sentence_and_a_fault_keeps_its_traceback() -> None:
    shown = in_words(record(DataError("100 % of the rows are empty")))
    assert shown and shown.getMessage() == "100 % of the rows are empty" and not shown.exc_info
    for kept in (record(KeyError("x")), record(DataError("x"), "nightloop.tasks.score")):
        assert in_words(kept) is kept
    assert in_words(record(FailedRun("it is the state of the run"))) is None


@task("refuse")
def refuse(reason: str) -> str:
    raise ConflictError(reason)


@flow("refused", lambda name, given: name)
def refused(reason: str) -> str:
    return refuse(reason)


def test_a_verb_that_prefect_runs_raises_what_the_flow_raised(
    nightloop_up: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTLOOP_PREFECT", "1")
    with pytest.raises(ConflictError, match=r"^somebody else writes$"):
        refused("somebody else writes")
