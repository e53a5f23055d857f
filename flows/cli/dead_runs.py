"""Dead runs: the automations of a Prefect server that mark runs whose process is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from nightloop.flows.cli.cut_off import POOL
from nightloop.tasks.terminal import TAG

DEAD = 140  # seconds without a heartbeat after which a run counts as dead; its lease has expired by then
# Not the name in Prefect's documentation, "Crash zombie flows": a server may have one of that name for other programs.
NAME = "nightloop: mark dead runs as crashed"
CANCEL = "nightloop: mark dead runs as cancelled"
# The runs that send a heartbeat often enough: those of our workers and of our commands. Others send one in three minutes, or none.
RUNS = {
    "": {"prefect.resource.role": "work-pool", "prefect.resource.name": POOL},
    " (commands)": {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
}
NAMES = tuple(f"{name}{whose}" for name in (NAME, CANCEL) for whose in RUNS)


def mark_dead_runs() -> None:
    """Have the server mark a run that sends no heartbeat, so that no night waits for it.

    References: docs.prefect.io/v3/advanced/detect-zombie-flows.
    """
    from prefect.client.schemas.objects import StateType

    alive = "prefect.flow-run.heartbeat"
    gone = f"no heartbeat for {DEAD} s: its process, or its machine, is gone. Run it again to resume"
    # The server does not mark a run as crashed that is being cancelled, so nothing else would end it.
    late = f"nothing ended it for {DEAD} s after it was cancelled: its process, or its machine, is gone. Run it again to resume"
    for whose in RUNS:
        _register(_build_automation(NAME, whose, (alive, {alive}), StateType.CRASHED, gone))
        _register(_build_automation(CANCEL, whose, ("prefect.flow-run.Cancelling", set()), StateType.CANCELLED, late))


def _build_automation(name: str, whose: str, events: tuple[str, set[str]], state: Any, message: str) -> Any:
    """An automation that sets the state of one of the `RUNS` if, within `DEAD` seconds after the first of these events, it
    neither ends nor sends one of the others."""
    from prefect.automations import Automation
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    after, expected = events
    return Automation(
        name=f"{name}{whose}",
        description="A run whose process died cannot say so: its state is set without it.",
        trigger=EventTrigger(
            after={after},
            expect={*expected, *(f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed"))},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(RUNS[whose]),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=DEAD),
        ),
        actions=[ChangeFlowRunState(state=state, message=message)],
    )


def _register(automation: Any) -> None:
    """Create the automation, or update the one of its name if it differs."""
    from prefect.automations import Automation

    try:
        existing: Any = Automation.read(name=automation.name)
    except ValueError:  # there is none yet
        automation.create()
        return
    if _comparable_fields(existing) == _comparable_fields(automation):
        return  # after an update the server would forget the runs whose heartbeat it waits for
    automation.id = existing.id
    automation.update()


def _comparable_fields(automation: Any) -> dict[str, Any]:
    """The fields of an automation that nightloop sets, without the ids that the server gives."""
    fields: dict[str, Any] = automation.model_dump(
        mode="json", include={"name", "description", "enabled", "trigger", "actions"}, exclude={"trigger": {"id"}}
    )
    return fields
