"""Deployments: every flow as Prefect knows it, for the entry points of infra/prefect.yaml."""

from nightloop.flows import backfill as _backfill
from nightloop.flows import bakeoff as _bakeoff
from nightloop.flows import maintain as _maintain
from nightloop.flows import nightly as _nightly
from nightloop.flows import promote as _promote
from nightloop.flows import tune as _tune

nightly = _nightly.nightly.by_prefect
backfill = _backfill.backfill.by_prefect
bakeoff = _bakeoff.bakeoff.by_prefect
tune = _tune.tune.by_prefect
promote, rollback = _promote.promote.by_prefect, _promote.rollback.by_prefect
maintain = _maintain.maintain.by_prefect
