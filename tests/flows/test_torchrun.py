"""Nights that several processes of torchrun train together."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from nightloop.flows.cli import torchrun
from nightloop.flows.cli.torchrun import follow_first_process
from nightloop.tasks import runner
from nightloop.tasks.plan.errors import PlanError
from tests.flows.run_cli import HOUSE, said
from tests.flows.tiny_pipeline import Tiny, make

DAYS, ROWS = 2, 1100
LEARNER = {"use": "FineTune", "options": {"training": {"epochs": 1, "batch_size": ROWS, "parts": 2}}}
# In the second process the first step of training kills it, as the system does where memory runs out.
KILL = """
import os, signal, sys
from nightloop.tasks.training import step
if os.environ["RANK"] == "1":
    step.divide = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
from nightloop.flows.cli.main import main
sys.argv = ["nightloop", *sys.argv[1:]]
main()
"""


@pytest.fixture
def clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Two days of clicks, the root's history, with batches that are divided in two."""
    tiny = make(tmp_path, monkeypatch, {
        "pipeline": "clicks", "source": {"use": "files", "options": {"path": f"{tmp_path}/in/{{period}}.csv"}},
        "columns": {"user": "user", "item": "item", "time": "at", "label": "clicked"},
        "pretrain": {"use": "FullRetrain", "options": {"begin": "scratch", **LEARNER["options"]}},
        "model": {"use": "DeepFM", "options": {"width": 4, "hidden": [8]}},
        "strategies": {"still": {"use": "NoUpdate"}, "tuned": LEARNER, "kd": {"use": "KD", "options": {"learner": LEARNER}}},
        "ranking": {},
    })  # fmt: skip
    draw = random.Random(0)
    (tmp_path / "in").mkdir()
    for day in range(DAYS):
        with (tmp_path / "in" / f"{tiny.name(day)}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["user", "item", "at", "clicked"])
            for second in range(ROWS):
                at = f"{tiny.name(day)}T00:{second // 60:02d}:{second % 60:02d}Z"
                rows.writerow([draw.randrange(50), draw.randrange(30), at, draw.randrange(2)])
    return tiny


def together(*words: str) -> subprocess.CompletedProcess[str]:
    """What these words say under torchrun, in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    own = {**os.environ, "NIGHTLOOP_RUNNER": "torchrun", "COLUMNS": "200"}
    return subprocess.run(command, cwd=HOUSE, env=own, capture_output=True, text=True, timeout=280)


def test_a_backfill_of_two_processes_records_the_bytes_of_one(
    clicks: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the second process was killed in the middle of the first training."""
    verb = ("backfill", str(clicks.path), "--end", clicks.name(DAYS - 1))
    (tmp_path / "kill.py").write_text(KILL)
    killed = together(str(tmp_path / "kill.py"), *verb)
    assert killed.returncode and not clicks.chain()
    assert "nightloop/" not in killed.stderr, "a traceback"
    done = together("-m", "nightloop", *verb)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "nightloop/" not in done.stderr and sorted(clicks.chain()) == [1]
    found = clicks.record()
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "alone"))
    assert said({}, *verb).returncode == 0
    assert clicks.record() == found


def test_the_others_end_if_the_first_trains_nothing(clicks: Tiny) -> None:
    """They would wait for two days."""
    shown = together("-m", "nightloop", "backfill", str(clicks.path), "--end", clicks.name(DAYS - 1), "--dry-run")
    assert shown.returncode == 0 and not clicks.chain(), shown.stderr[-3000:]
    assert together("-m", "nightloop", "night", "--help").returncode == 0


class Context:
    """What a verb knows of how it was called."""

    def __init__(self, verb: str) -> None:
        self.invoked_subcommand, self.at_end = verb, list[object]()

    def call_on_close(self, call: object) -> None:
        self.at_end.append(call)


def test_a_process_beside_the_first_runs_no_verb_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[bool] = []
    monkeypatch.setenv("NIGHTLOOP_RUNNER", "torchrun")
    monkeypatch.setattr(runner, "follow", lambda: followed.append(True))
    monkeypatch.setattr(torchrun.os, "_exit", lambda code: sys.exit(code))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, verb, ends in (
        ("0", "night", False),
        ("1", "status", True),
        ("1", "night", True),
        ("1", "backfill", True),
    ):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) if ends else nullcontext():
            follow_first_process(context := Context(verb))  # type: ignore[arg-type]
            assert len(context.at_end) == 1
    assert len(followed) == 2
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("NIGHTLOOP_RUNNER", "auto")
        with pytest.raises(PlanError, match="given 'auto'; torchrun started this process: set it to torchrun"):
            follow_first_process(Context("night"))  # type: ignore[arg-type]
