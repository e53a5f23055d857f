"""Register: the automations that mark dead runs on a Prefect server, and the reports of earlier work."""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from typing import Any

from nightloop.flows.cli.cut_off import POOL
from nightloop.flows.run_names import run_name
from nightloop.flows.scheduled_time import scheduled_time
from nightloop.tasks.objects import pipelines
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.due import newest_plan
from nightloop.tasks.report import publish
from nightloop.tasks.resources import open_store
from nightloop.tasks.schedule import newest_shown
from nightloop.tasks.terminal import TAG

log = logging.getLogger(__name__)
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


@flow("publish", run_name)
def publish_all() -> list[str]:
    """Draw the report and the artifacts of every pipeline in the store again, so that earlier work is shown."""
    objects, done = open_store(), []
    for name in pipelines.readable_record(objects).roots:
        try:
            if (plan := newest_plan(objects, name)) is not None:
                read = Plan.model_validate(plan)
                done.append(publish(read, newest_shown(read, scheduled_time())))
        except Exception as error:  # one pipeline that cannot be read must not hide the others
            log.warning("the report of %s was not drawn: %s", name, error)
    return done


def main() -> None:
    """Draw the reports of all pipelines. A failure is a warning, because nights do not depend on reports."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        publish_all()
    except Exception as error:
        log.warning("reports were not drawn: %s", error)


if __name__ == "__main__":
    main()
