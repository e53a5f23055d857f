"""What a flow keeps open for its tasks, and when it is closed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import nightloop.flows.status
import nightloop.tasks.lake.warehouse
from nightloop.tasks.resources import keep_open, open_lake, open_store
from tests.flows.tiny_pipeline import begin, make

pytestmark = pytest.mark.xdist_group("flows")


def test_a_flow_keeps_one_store_and_one_lake_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(tmp_path, monkeypatch).plan
    with keep_open(plan):
        with open_lake(plan) as first, open_lake(plan) as second:
            assert first is second and open_store() is open_store()
            with open_lake(plan.model_copy(update={"pipeline": "other"})) as other:
                assert other is not first, "a lake is that of one pipeline"
        other_threads: list[object] = []

        def look() -> None:
            with open_lake(plan) as lake:
                other_threads.append(lake)

        thread = Thread(target=look)
        thread.start()
        thread.join()
        assert other_threads and other_threads[0] is not first, "a connection is not for two threads"
    with open_lake(plan) as later:
        assert later is not first and open_store() is not open_store()


def test_status_reads_a_home_in_which_nothing_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root a directory without write access can be written, so the calls that write fail as on a read-only disk."""
    tiny = begin(tmp_path_factory, monkeypatch, 1, 2)
    expected = nightloop.flows.status.status(str(tiny.path))
    home, real = tiny.home / "home", nightloop.tasks.lake.warehouse.scratch

    def refused(*given: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(home))

    monkeypatch.setattr(
        nightloop.tasks.lake.warehouse, "scratch", lambda at: refused() if at.is_relative_to(home) else real(at)
    )
    monkeypatch.setattr(nightloop.flows.status, "open_store", refused)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    seen = nightloop.flows.status.status(str(tiny.path))
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert (seen["nights"], seen["headline"]) == (expected["nights"], expected["headline"])
    assert seen["findings"][0]["text"].startswith("No night can run here: [Errno 30] Read-only file system")
