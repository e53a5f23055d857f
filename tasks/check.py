"""Check: read a sample of a plan's logs, and say what is in it and what a night would say of it. Nothing is kept."""

from __future__ import annotations

from nightloop.tasks.inspection.sample import Sample, sample_source
from nightloop.tasks.orchestration import task
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import redact_errors
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import lake_credentials
from nightloop.tasks.sources import build


@task("check the logs of {plan.pipeline}")
def check(plan: Plan, whole: bool) -> Sample:
    """A sample of what the plan's source has, or all of it. Raises as the source does where nothing can be read."""
    settings = Settings()
    with redact_errors():
        return sample_source(plan, build(plan.source), settings, lake_credentials(settings, plan), whole)
