"""What a flow keeps open for its tasks, and when it is closed."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from nightloop.tasks.resources import keep_open, open_lake, open_store
from tests.flows.tiny_pipeline import make

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
