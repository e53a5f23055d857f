"""Check: read a sample of a plan's logs, and report what is in it and how validation would judge it. Nothing is stored."""

from __future__ import annotations

from nightloop.tasks.inspection.sample import Sample, sample_source
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import hide_secrets
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import lake_credentials
from nightloop.tasks.sources import build


@task("check the logs of {plan.pipeline}")
def check(plan: Plan, whole: bool) -> Sample:
    """A sample of the rows of the plan's source, or all of them. Raises as the source does if nothing can be read."""
    settings = Settings()
    with hide_secrets():
        return sample_source(plan, build(plan.source), settings, lake_credentials(settings, plan), whole)
