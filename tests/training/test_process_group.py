"""Two processes that train together: the bytes of one, and a sentence if one of them ends or does other work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.training.process_group import process_group
from tests.training.together import fitted

HOUSE = Path(__file__).parents[2]


def test_two_processes_train_the_bytes_of_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    first, second = (
        subprocess.Popen([sys.executable, "-m", "tests.training.together"], cwd=HOUSE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, env={**os.environ, **group, "RANK": rank})
        for rank in ("0", "1")
    )  # fmt: skip
    found, said = first.communicate(timeout=200)
    second.communicate(timeout=60)
    assert found, said
    told, alone = json.loads(found), fitted()
    assert told["fits"] == alone
    assert told["alone"] == alone["DeepFM"], "outside of the work that all do, a process trains alone"
    assert told["cuda"] == "training: device: given 'cuda'; the processes of torchrun train on the CPU: leave it out"
    assert told["other"] == "process 1 of torchrun does other work (end instead of work): the disk is full"
    assert told["ended"].startswith("a process of torchrun ended: ")


def test_a_process_that_torchrun_did_not_start_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(PlanError, match="torchrun --nproc-per-node 2 -m nightloop night PLAN"), process_group():
        pass
