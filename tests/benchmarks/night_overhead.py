"""night-overhead: all of a night but its training, and a hundred backfilled nights of tiny data."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

NIGHTS = 100
SECONDS, TASK_RUNS, BACKFILL = 5.0, 40, 180.0


def run() -> dict[str, object]:
    """Nights through Prefect as an operator's training would run them, on a server of their own."""
    home = Path(tempfile.mkdtemp(prefix="nightloop-bench-"))
    os.environ["NIGHTLOOP_HOME"] = str(home / "home")
    os.environ["NIGHTLOOP_PREFECT"] = "1"
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        return _measured(home)


def _measured(home: Path) -> dict[str, object]:
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
    night, runs = time.perf_counter() - began, _task_runs()
    trained = _trained(home)
    began = time.perf_counter()
    backfill(str(path), end=days[HISTORY + 1 + NIGHTS], what="missing")
    hundred = time.perf_counter() - began
    overhead = night - trained
    return {
        "name": "night-overhead",
        "value": round(overhead, 2),
        "unit": "s",
        "target": f"<= {SECONDS} s, < {TASK_RUNS} task runs, {NIGHTS} nights <= {BACKFILL} s",
        "met": overhead <= SECONDS and runs < TASK_RUNS and hundred <= BACKFILL,
        "detail": {
            "task_runs": runs,
            f"seconds_of_{NIGHTS}_backfilled_nights": round(hundred, 1),
            "training": round(trained, 3),
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
