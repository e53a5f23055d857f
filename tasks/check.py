"""Check: read a sample of a plan's logs, and say what is in it and what a night would say of it. Nothing is kept."""

from __future__ import annotations

from tasks.lake.sample import Sample, sampled
from tasks.lake.sources import build
from tasks.open import credentials
from tasks.orchestration import task
from tasks.plan.outward import guarded
from tasks.plan.plan import Plan
from tasks.plan.settings import Settings
from tasks.store.aws import usual_credentials


@task("check the logs of {plan.pipeline}")
def check(plan: Plan, whole: bool) -> Sample:
    """A sample of what the plan's source has, or all of it. Raises as the source does where nothing can be read."""
    settings = Settings()
    keys = credentials(settings) or (usual_credentials() if settings.lake_on_s3 else None)
    with guarded():
        return sampled(plan, build(plan.source), settings, keys, whole)
