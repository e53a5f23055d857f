"""Every click model keeps the contract with every strategy that learns from labels.

`make test` takes each model through every check, each time with the next strategy, so that all models, all checks and all
strategies meet; `make soak` takes all of their product. MF and DeepFM have tests of their own in `test_contract`.
"""

from itertools import product

import pytest

from nightloop.tasks.models import build
from nightloop.tasks.retraining.contract import all_checks, simulated_periods
from tests.strategies.test_contract import CLICKS, FIELDS, LEARNERS, POST_PROCESSORS, VARIANTS

SMALL = {
    "LR": {},
    "FM": {"width": 4},
    "NFM": {"width": 4, "hidden": [8]},
    "IPNN": {"width": 4, "hidden": [8]},
    "WideDeep": {"width": 4, "hidden": [8]},
    "DCN": {"width": 4, "hidden": [8]},
    "DCNv2": {"width": 4, "cross": 2, "hidden": [8]},
    "xDeepFM": {"width": 4, "cin": [3, 2], "hidden": [8]},
    "FmFM": {"width": 4},
    "AFNPlus": {"width": 4, "neurons": 3, "cross": [8], "hidden": [8]},
    "FinalMLP": {"width": 4, "towers": [[8], [6]], "contexts": [["user"], []], "heads": 2},
}
CHECKS = {check.__name__.removeprefix("check_"): check for check in all_checks()}
OFTEN = {**LEARNERS, **POST_PROCESSORS, **CLICKS}
ALL = {**OFTEN, **VARIANTS}


def rotated():
    """(check, model, strategy) of every check and every model. A step that is no divisor brings all strategies round."""
    strategies = list(OFTEN)
    return {
        (check, model, strategies[(k * (len(SMALL) + 2) + j) % len(strategies)])
        for k, check in enumerate(CHECKS)
        for j, model in enumerate(SMALL)
    }


ROTATED = rotated()


def test_all_strategies_come_round():
    assert {strategy for _, _, strategy in ROTATED} == set(OFTEN)


@pytest.mark.parametrize(
    ("check", "model", "strategy"),
    [pytest.param(*taken, marks=() if taken in ROTATED else pytest.mark.soak) for taken in product(CHECKS, SMALL, ALL)],
)
def test_contract(check, model, strategy):
    built = build(model, SMALL[model], FIELDS, 2)
    CHECKS[check](built, ALL[strategy], simulated_periods("ctr", FIELDS, numeric=2, count=3, rows=32))
