"""HalfStep keeps nightloop's contract."""

import pytest
from half_step.strategy import HalfStep

from nightloop.tasks.models.mf import MF
from nightloop.tasks.retraining.contract import all_checks, simulated_periods


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__)
def test_contract(check):
    check(MF(width=4), HalfStep(), simulated_periods("ranking"))
