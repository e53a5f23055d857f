"""The figures of the benchmarks `blend-*`: intervals over periods, Holm's correction, and what the verdict says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.blend import METRICS, compare, judge, movietweetings, ranking_world, repeat, table

DAYS = [f"2026-01-{day:02d}" for day in range(1, 13)]


def curves(**gaps: float) -> dict[str, dict[str, dict[str, float]]]:
    """The blend at 0.4 on average, the others below it by these gaps, every night another one."""
    random = np.random.default_rng(0)
    night, noise = random.normal(scale=0.05, size=12), random.normal(scale=0.01, size=12)
    blend = dict(zip(DAYS, 0.4 + night, strict=True))
    others = {
        name.replace("_", "-"): dict(zip(DAYS, 0.4 + night - gap + noise - noise.mean(), strict=True))
        for name, gap in gaps.items()
    }
    return {metric: {"blend": blend, **others} for metric in METRICS}


def test_a_difference_is_over_periods_and_corrected_for_all_rivals() -> None:
    found = curves(popularity=0.05, fine_tune=0.006)
    lines = {(line["metric"], line["rival"]): line for line in compare(found)}
    gap = np.array(list(found["ndcg@20"]["blend"].values())) - np.array(list(found["ndcg@20"]["fine-tune"].values()))
    line = lines["ndcg@20", "fine-tune"]
    assert line["mean"] == pytest.approx(0.006) and line["p"] == pytest.approx(stats.ttest_1samp(gap, 0).pvalue)
    low, high = stats.t.interval(0.95, 11, gap.mean(), stats.sem(gap))
    assert line["half"] == pytest.approx((high - low) / 2)
    # two metrics are equal: the smallest two of four p-values count 4 and 3 times, the others 2 times and once, never less
    assert lines["recall@20", "popularity"]["holm"] == pytest.approx(min(1, 4 * lines["ndcg@20", "popularity"]["p"]))
    assert line["holm"] == pytest.approx(min(1, 2 * line["p"]))


def test_the_verdict() -> None:
    found = judge(good := curves(popularity=0.05, fine_tune=-0.002), compare(good))
    assert found["periods"] == 12 and found["surely below"] == []
    for metric in METRICS:
        assert (
            found[metric]["best"] == "fine-tune" and found[metric]["level"] and found[metric]["control"] == "popularity"
        )
        assert found[metric]["surely above control"]
    worse = curves(popularity=0.05, fine_tune=-0.05)
    found = judge(worse, compare(worse))
    assert not found["ndcg@20"]["level"] and found["surely below"] == ["fine-tune recall@20", "fine-tune ndcg@20"]
    assert "| fine-tune | 0.4" in table(worse, compare(worse)) and "-0.0500 ± " in table(worse, compare(worse))
    same = curves(popularity=0.0)
    same["recall@20"]["popularity"] = same["recall@20"]["blend"]
    assert compare(same)[0]["holm"] == 1.0, "what is the same is not surely anything"


def test_the_blend_has_all_learners_and_controls_and_twelve_periods_are_tested() -> None:
    for plan in (movietweetings(40), repeat(0), ranking_world("adressa", 0), ranking_world("yelp", 0)):
        members = plan["strategies"]["blend"]["options"]["members"]
        alone = [
            part
            for name, part in plan["strategies"].items()
            if name not in ("no-update", "with-popularity", "averaged", "hedge", "blend")
        ]
        assert members == alone and len(members) > 4
    assert movietweetings(40)["periods"]["rows"] == 3542 and movietweetings(40)["pretrain_periods"] == 12
