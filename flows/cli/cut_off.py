"""Cut-off runs: runs of `nightloop up` whose process is gone are scheduled again, or marked as ended."""

from __future__ import annotations

import hashlib
import logging
import socket
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from nightloop.flows.cli.login import login_directory
from nightloop.flows.cli.processes import can_list_processes, child_processes, end_runs, forget_runs, noted_runs
from nightloop.tasks.plan.safe_text import safe_text

POOL = "nightloop"
TRIES = 3  # times that a run is started; after that a person must decide: the run may be what ends its process
LOOK = 5.0  # seconds between two checks of runs that outlived their worker
PATIENCE = 30.0  # seconds that a cancelled run has to end
RESUMES = "what it finished is kept"


def resume_lost_runs(client: Any, alive: Collection[str], before: datetime) -> list[str]:
    """Schedule the runs again that were active before that time and have no process any more; this resumes them.

    A run that was being cancelled is marked as cancelled instead. A run that was started `TRIES` times is marked as
    crashed. While another worker of the pool is alive, only the runs of this home's worker are looked at: the others may
    have a process on another machine. Returns a line for each.
    """
    from prefect.states import Cancelled, Crashed, Scheduled

    lines: list[str] = []
    if not can_list_processes():
        return lines
    state: Any
    active = _active_runs(client, "RUNNING", "PENDING", "CANCELLING")
    home = login_directory().parent
    own = noted_runs(home)
    forget_runs(home, own - {str(run.id) for run in active})
    shared = has_other_workers(client)
    for run in active:
        if str(run.id) in alive or run.state.timestamp > before or (shared and str(run.id) not in own):
            continue
        if run.state.is_cancelling():
            state, then = (
                Cancelled(message="its process had ended before; run it again to resume"),
                "is marked as cancelled",
            )
        elif run.run_count >= TRIES:
            state = Crashed(message=f"its process ended {TRIES} times before it was done; run it again to resume")
            then = f"was started {TRIES} times and is marked as crashed; run it again to resume"
        else:
            state, then = Scheduled(message="its process had ended; it resumes"), "starts again by itself, and resumes"
        client.set_flow_run_state(run.id, state, force=True)
        lines.append(f"{run.name}: its process had ended; {RESUMES}. It {then}")
    return lines


def mark_ended_runs(client: Any, ids: Collection[str]) -> list[str]:
    """Set the states of the runs that were ended with `nightloop up`. Returns a line for each that was not finished."""
    from prefect.states import Cancelled, Crashed

    lines = []
    for run in (client.read_flow_run(run_id) for run_id in sorted(ids)):
        if run.state.is_completed() or run.state.is_failed() or run.state.is_cancelled():
            continue
        if run.state.is_cancelling():
            client.set_flow_run_state(run.id, Cancelled(message="ended with `nightloop up`"), force=True)
            continue
        message = f"it was cut off when `nightloop up` was stopped; {RESUMES}. {_resume_advice(run)}"
        client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        lines.append(f"{run.name}: {message}")
    return lines


def _resume_advice(run: Any) -> str:
    """How to resume a run that was cut off."""
    flow, _, rest = str(run.name).partition(" ")
    plan = run.parameters.get("plan", "PLAN")
    if flow == "nightly":
        period = rest.split()[1:2]
        return (
            "The next night on its schedule does it too; to resume it now: "
            f"nightloop night {plan}{f' --period {period[0]}' if period else ''}"
        )
    return "Run it again with the same parameters to resume: in the UI, Copy to new run"


def watch_orphaned_runs(client: Any, alive: Collection[str]) -> None:
    """Watch the runs that outlived their worker until the last has ended; end those that a person cancels."""
    from prefect.states import Cancelled

    home, left = login_directory().parent, frozenset(alive)
    while left := left & set(child_processes(home).values()):
        for run in _active_runs(client, "CANCELLING"):
            if str(run.id) in left:
                end_runs(home, PATIENCE, frozenset({str(run.id)}))
                state: Any = Cancelled(message="cancelled; run it again to resume")
                client.set_flow_run_state(run.id, state, force=True)
        time.sleep(LOOK)


def worker_name() -> str:
    """The name of this home's worker: the same after a restart, and another one for another home or machine."""
    home = str(login_directory().parent)
    return f"{socket.gethostname()}-{hashlib.sha256(home.encode()).hexdigest()[:8]}"


def has_other_workers(client: Any) -> bool:
    """Whether the server knows a worker of the pool that is alive and is not this home's."""
    from prefect.exceptions import ObjectNotFound

    try:
        workers = client.read_workers_for_work_pool(POOL)
    except ObjectNotFound:
        return False
    return any(worker.name != worker_name() and str(worker.status).endswith("ONLINE") for worker in workers)


def _active_runs(client: Any, *states: str) -> list[Any]:
    """The runs of deployments that workers of the pool run, in one of these states."""
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter

    run_filter = FlowRunFilter.model_validate(
        {"state": {"type": {"any_": list(states)}}, "deployment_id": {"is_null_": False}}
    )
    pool = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    return list(client.read_flow_runs(flow_run_filter=run_filter, work_pool_filter=pool))


def main() -> None:
    """What `nightloop up` runs: `ended ID...` at its end; `worker TIME ID...` if its worker ended and these runs are alive."""
    from prefect.client.orchestration import get_client

    command, *arguments = sys.argv[1:]
    logging.disable()  # Prefect's client would print what it cannot reach
    while True:
        try:
            with get_client(sync_client=True) as client:
                if command == "ended":
                    return _say(mark_ended_runs(client, arguments))
                _say(resume_lost_runs(client, arguments[1:], datetime.fromisoformat(arguments[0])))
                return watch_orphaned_runs(client, arguments[1:])
        except Exception as error:  # the server has ended as well, and is started again
            if command == "ended":
                return _say([f"the states of the runs that were cut off could not be recorded: {error}"])
            time.sleep(LOOK)


def resume_all_lost_runs() -> None:
    """Schedule all lost runs again, at the start of `nightloop up`, when no run has a process yet."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        _say(resume_lost_runs(client, (), datetime.now(UTC)))


def _say(lines: list[str]) -> None:
    sys.stderr.write("".join(f"nightloop: {safe_text(line)}\n" for line in lines))


if __name__ == "__main__":
    main()
