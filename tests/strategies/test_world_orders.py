"""The order of the two controls in the simulated worlds, as in the SML paper: what changes fast is better forgotten."""

from __future__ import annotations

import pytest

from tests.benchmarks.worlds_ranking import METRIC, replay

CONTROLS = ("fine-tune", "full retrain", "no update")


@pytest.mark.soak
def test_news_favour_fine_tuning_and_places_full_retraining() -> None:
    for seed in (0, 1):
        news, places = (replay(like, seed, CONTROLS) for like in ("adressa", "yelp"))
        assert news["fine-tune"][METRIC] > news["full retrain"][METRIC] + 0.1
        assert places["full retrain"][METRIC] > places["fine-tune"][METRIC] + 0.005
        for world in (news, places):
            assert world["oracle"][METRIC] > max(world[name][METRIC] for name in CONTROLS) + 0.05
            assert world["no update"][METRIC] < min(world[name][METRIC] for name in CONTROLS[:2])
