"""night-overhead: all of a night but its training, and a hundred backfilled nights of tiny data, with a Prefect server and without.

`prefect_alone` is a flow of as many tasks that do nothing, on the same server: what no night on it can take less than.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NIGHTS = 100
SECONDS, TASK_RUNS, BACKFILL = 2.0, 40, 60.0


def run() -> dict[str, object]:
    """Nights through Prefect as an operator's training would run them, on a server of their own."""
    home = Path(tempfile.mkdtemp(prefix="nightloop-bench-"))
    alone = {name: value for name, value in os.environ.items() if name != "NIGHTLOOP_PREFECT"}
    code = f"from {__spec__.name} import without_server; print(without_server())"
    without = float(
        subprocess.run(
            [sys.executable, "-c", code], env=alone, check=True, capture_output=True, text=True
        ).stdout.split()[-1]
    )
    os.environ["NIGHTLOOP_HOME"] = str(home / "home")
    os.environ["NIGHTLOOP_PREFECT"] = "1"
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        return _measured(home, without)


def without_server() -> float:
    """Seconds of the backfilled nights in a process of its own, without Prefect."""
    home = Path(tempfile.mkdtemp(prefix="nightloop-bench-"))
    os.environ["NIGHTLOOP_HOME"] = str(home / "home")
    return _nights(home)[2]


def _nights(home: Path) -> tuple[float, int, float]:
    """Seconds and task runs of a night, and seconds of the backfilled ones."""
    import yaml

    from nightloop.flows.backfill import backfill
    from nightloop.flows.nightly import nightly
    from nightloop.tasks.simulation.deliver import deliver
    from tests.flows.tiny_pipeline import HISTORY, WORLD, raw_plan

    days = [deliver(WORLD, home / "in", day).stem for day in range(NIGHTS + 4)]
    path = home / "tiny.yaml"
    path.write_text(yaml.safe_dump(raw_plan(home)))
    nightly(str(path), days[HISTORY - 1])
    nightly(str(path), days[HISTORY])
    began = time.perf_counter()
    nightly(str(path), days[HISTORY + 1])
    night = time.perf_counter() - began
    runs = _task_runs() if os.environ.get("NIGHTLOOP_PREFECT") else 0
    night -= _trained(home)
    began = time.perf_counter()
    backfill(str(path), end=days[HISTORY + 1 + NIGHTS], what="missing")
    return night, runs, time.perf_counter() - began


def _prefect_alone(tasks: int) -> float:
    """Seconds of a flow of so many tasks that do nothing; of three runs the shortest."""
    from prefect import flow, task

    @task
    def nothing() -> None:
        pass

    @flow
    def empty() -> None:
        for _ in range(tasks):
            nothing()

    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        empty()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _measured(home: Path, without: float) -> dict[str, object]:
    overhead, runs, hundred = _nights(home)
    return {
        "name": "night-overhead",
        "value": round(overhead, 2),
        "unit": "s",
        "target": f"<= {SECONDS} s, < {TASK_RUNS} task runs, {NIGHTS} nights without a server <= {BACKFILL} s",
        "met": overhead <= SECONDS and runs < TASK_RUNS and without <= BACKFILL,
        "detail": {
            "task_runs": runs,
            f"seconds_of_{NIGHTS}_backfilled_nights": round(hundred, 1),
            f"seconds_of_{NIGHTS}_without_a_server": round(without, 1),
            "prefect_alone": round(_prefect_alone(runs), 2),
        },
    }


def _task_runs() -> int:
    """Task runs of the newest flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        time.sleep(3)  # events of task runs arrive a little later
        return len(
            client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[newest.id])), limit=200)
        )


def _trained(home: Path) -> float:
    """Seconds the newest night spent in training, as its own note says."""
    notes = sorted(
        (home / "home" / "store" / "pipelines" / "tiny" / "notes").glob("*.json"), key=lambda p: p.stat().st_mtime
    )
    took = json.loads(notes[-1].read_text().splitlines()[0])
    return float(sum(took["seconds"].values()))


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
