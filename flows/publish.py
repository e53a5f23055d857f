"""Publish: draw the report and the artifacts of every pipeline in the store, so that earlier work is shown."""

from __future__ import annotations

import logging
import sys

from nightloop.flows.run_names import run_name
from nightloop.flows.scheduled_time import scheduled_time
from nightloop.tasks.objects import pipelines
from nightloop.tasks.orchestration import flow
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.due import newest_plan
from nightloop.tasks.report import publish
from nightloop.tasks.resources import open_store
from nightloop.tasks.schedule import newest_shown

log = logging.getLogger(__name__)


@flow("publish", run_name)
def publish_all() -> list[str]:
    """Draw the reports of all pipelines again; the pages that were written."""
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
