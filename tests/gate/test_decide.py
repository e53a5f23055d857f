"""The gate's verdicts one by one: what is promoted, held, rejected, and what cannot be told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.gate.decide import decide
from nightloop.tasks.gate.evidence import Evidence
from nightloop.tasks.plan.plan import Gate, canonical_json
from tests.gate.make_nights import clicked, race, ranked, replay, rows

RULE = Gate(resamples=200)


def ctr(seed: int, shift: float, skill: float, nights: int = 10) -> list[Evidence]:
    """What served is a weak predictor; the challenger has more skill, and its logits are off by `shift`."""
    g = torch.Generator().manual_seed(seed)
    found = []
    for period in range(nights):
        seen = rows(1500, 200, g)
        truth = torch.randn(1500, generator=g) - 1.0
        label = (torch.rand(1500, generator=g) < torch.sigmoid(truth)).float()
        served = clicked(seen, label, torch.full((1500,), -0.83))
        found.append(
            Evidence(period, served, {"new": clicked(seen, label, skill * truth - 0.83 * (1 - skill) + shift)})
        )
    return found


def test_the_best_of_those_that_surely_gain_wins() -> None:
    decision = replay(RULE, "ranking", "old", race(1, {"a": 3.0, "b": 6.0, "c": 0.4, "old": 1.0}))
    assert {name: j.verdict for name, j in decision.judged.items() if name != "old"} == {
        "a": "promote",
        "b": "promote",
        "c": "reject",
    }
    assert (decision.verdict, decision.winner) == ("promote", "b")


def test_numbers_and_reasons_say_what_an_operator_needs() -> None:
    judged = replay(RULE, "ranking", "old", race(1, {"a": 3.0, "b": 1.0})).judged["a"]
    n = judged.numbers
    assert n["low"] < n["effect"] < n["high"]  # type: ignore[operator]
    assert n["relative"] == pytest.approx(n["effect"] / n["served"])  # type: ignore[operator]
    assert (n["metric"], n["nights"], n["rows"], n["alpha"], n["evidence_nights"]) == ("ndcg@20", 3, 2400, 0.05, 10)
    assert n["evidence"] >= n["needed"] > 1 and n["nights_to_go"] == 0  # type: ignore[operator]
    assert set(n["slices"]) == {"new_user", "old_user", "new_item", "old_item"}  # type: ignore[arg-type]
    text = " ".join(judged.reasons)
    for word in (
        "surely better",
        "ndcg@20",
        "2,400 rows",
        "users",
        "3 nights (period 107 to period 109)",
        "after 10 nights",
    ):
        assert word in text
    json.loads(canonical_json(judged.model_dump(mode="json")))


def test_the_same_evidence_gives_the_same_bytes() -> None:
    one, two = (replay(RULE, "ranking", "old", race(4, {"a": 1.4, "old": 1.0})) for _ in range(2))
    assert [j.model_dump_json() for j in one.judged.values()] == [j.model_dump_json() for j in two.judged.values()]


def test_equal_results_are_held_and_an_equal_refresh_is_promoted() -> None:
    night = race(2, {"other": 1.0})[0]
    assert night.served is not None
    same = [replace(night, period=p, challengers={"other": night.served, "old": night.served}) for p in range(10)]
    decision = replay(RULE, "ranking", "old", same)
    assert decision.judged["other"].verdict == "hold"
    assert "exactly as well" in decision.judged["other"].reasons[0]
    assert (decision.verdict, decision.winner) == ("promote", "old")


def test_a_refresh_needs_one_night_and_is_refused_only_where_it_is_surely_worse() -> None:
    assert replay(RULE, "ranking", "old", race(3, {"old": 1.0}, nights=1)).winner == "old"
    worse = replay(RULE, "ranking", "old", race(3, {"old": 0.3}))
    assert (worse.verdict, worse.winner) == ("reject", None)
    assert "surely worse" in worse.judged["old"].reasons[0]


def test_a_refresh_that_gains_most_keeps_the_strategy() -> None:
    assert replay(RULE, "ranking", "old", race(5, {"old": 6.0, "new": 2.5})).winner == "old"
    assert replay(RULE, "ranking", "old", race(5, {"old": 1.0, "new": 6.0})).winner == "new"


def test_without_an_incumbent_a_challenger_must_beat_the_control() -> None:
    nights = race(6, {"fine-tune": 4.0})
    control = [replace(n, challengers={**n.challengers, "no-update": n.served or {}}) for n in nights]
    decision = replay(RULE, "ranking", None, control)
    assert decision.winner == "fine-tune"
    assert decision.judged["no-update"].verdict == "hold"
    assert replay(RULE, "ranking", None, race(6, {"fine-tune": 1.0})).winner is None


@pytest.mark.parametrize(
    ("nights", "why"),
    [
        (race(7, {"new": 5.0}, nights=2), "2 nights (period 700 to period 701); gate.evidence_nights asks for 3"),
        ([Evidence(0, None, {"new": race(7, {"new": 5.0})[0].challengers["new"]})], "no night"),
        (race(7, {"new": 5.0}, users=8), "only 8 users"),
        (race(7, {"new": 5.0}, n=0), "no night"),
    ],
    ids=["too few nights", "nothing served", "too few users", "no rows"],
)
def test_what_cannot_be_told_is_not_promoted(nights: list[Evidence], why: str) -> None:
    decision = replay(RULE, "ranking", "old", nights)
    assert (decision.verdict, decision.winner) == ("insufficient_evidence", None)
    assert why in decision.judged["new"].reasons[0]


def test_no_evidence_at_all() -> None:
    assert decide(RULE, "ranking", None, []).verdict == "insufficient_evidence"
    assert replay(RULE, "ranking", None, [Evidence(0, None, {})]).winner is None


def test_evidence_begins_anew_when_another_strategy_serves_and_is_kept_over_refreshes() -> None:
    nights = race(9, {"new": 6.0, "old": 1.0}, nights=8)
    before = replay(RULE, "ranking", "old", nights)
    assert before.winner == "new" and before.evidence is not None
    assert before.evidence.rivals["new"].nights == 8
    taken_over = decide(RULE, "ranking", "new", [*nights[:2]], before.evidence)
    assert taken_over.evidence is not None
    assert (taken_over.evidence.champion, taken_over.evidence.ended) == ("new", (nights[1].period,))
    assert taken_over.evidence.rivals["old"].nights == 1
    assert taken_over.evidence.rivals["old"].prior_nights > 0, "the variance between nights is remembered"


def test_a_rollback_to_older_weights_begins_anew_and_costs_a_part_of_the_year() -> None:
    nights = race(9, {"new": 6.0}, nights=8)
    before = replay(RULE, "ranking", "old", nights)
    again = decide(RULE, "ranking", "old", nights[-3:], before.evidence, rolled_back=True)
    first, second = (d.judged["new"].numbers for d in (before, again))
    assert second["evidence_nights"] == 1
    assert second["needed"] == pytest.approx(4 * first["needed"])  # type: ignore[operator]


def test_another_metric_or_gain_asked_for_begins_anew() -> None:
    nights = race(9, {"new": 6.0}, nights=4)
    before = replay(RULE, "ranking", "old", nights)
    for rule in (Gate(resamples=200, metric="recall@10"), Gate(resamples=200, min_gain=0.01)):
        changed = decide(rule, "ranking", "old", nights[-3:], before.evidence)
        assert changed.judged["new"].numbers["evidence_nights"] == 1


def test_nan_and_unequal_rows_cannot_be_told() -> None:
    nights = ctr(1, 0.0, 1.0)
    bad = {k: v.clone() for k, v in nights[1].challengers["new"].items()}
    bad["prediction"][5] = float("nan")
    judged = replay(RULE, "ctr", "old", [nights[0], replace(nights[1], challengers={"new": bad}), nights[2]]).judged[
        "new"
    ]
    assert judged.verdict == "insufficient_evidence"
    assert "NaN" in judged.reasons[0]
    moved = {k: v.roll(1) for k, v in nights[1].challengers["new"].items()}
    swapped = replay(RULE, "ctr", "old", [nights[0], replace(nights[1], challengers={"new": moved}), nights[2]])
    assert "different rows" in swapped.judged["new"].reasons[0]


def test_a_worthwhile_gain_must_be_surely_larger() -> None:
    nights = race(10, {"new": 3.0})
    gain = replay(RULE, "ranking", "old", nights).judged["new"].numbers["relative"]
    assert isinstance(gain, float)
    assert replay(Gate(resamples=200, min_gain=gain * 0.3), "ranking", "old", nights).winner == "new"
    judged = replay(Gate(resamples=200, min_gain=gain * 1.1), "ranking", "old", nights).judged["new"]
    assert judged.verdict == "hold"
    assert "gate.min_gain" in judged.reasons[0]


def test_a_slice_that_surely_loses_is_a_reason_to_reject() -> None:
    g = torch.Generator().manual_seed(0)
    nights = []
    for period in range(10):
        seen = rows(2000, 300, g)
        served = ranked(seen, torch.ones(300), g)
        better = ranked(seen, torch.full((300,), 8.0), g)
        better["above"] = torch.where(seen["new_item"], 900, better["above"])
        nights.append(Evidence(period, served, {"new": better, "old": served}))
    decision = replay(RULE, "ranking", "old", nights)
    assert decision.judged["new"].verdict == "reject"
    assert "For new items it is worse by 100.0 %" in decision.judged["new"].reasons[0]
    assert decision.winner == "old"
    assert replay(Gate(resamples=200, max_slice_loss=1.5), "ranking", "old", nights).winner == "new"


def test_clicks_are_judged_by_logloss_and_calibration() -> None:
    good = replay(RULE, "ctr", "old", ctr(2, 0.0, 1.0))
    assert good.winner == "new"
    n = good.judged["new"].numbers
    assert (n["metric"], n["challenger"] < n["served"]) == ("logloss", True)  # type: ignore[operator]
    assert n["calibration"] == pytest.approx(1.0, abs=0.1)
    loud = replay(RULE, "ctr", "old", ctr(2, 0.6, 1.0)).judged["new"]
    assert loud.verdict == "reject"
    assert "times the observed clicks" in " ".join(loud.reasons)


def test_a_refresh_outside_the_band_may_serve_where_what_serves_is_further_off() -> None:
    far, near = ctr(3, 1.5, 1.0), ctr(3, 0.6, 1.0)
    nights = [
        Evidence(n.period, f.challengers["new"], {"old": n.challengers["new"]}) for f, n in zip(far, near, strict=True)
    ]
    assert replay(RULE, "ctr", "old", nights).winner == "old"
    assert replay(RULE, "ctr", "rival", nights).judged["old"].verdict == "reject"


def test_what_is_better_than_what_serves_and_no_better_than_the_mean_rate_does_not_serve() -> None:
    g, nights = torch.Generator().manual_seed(9), []
    for period in range(10):
        seen, noise = rows(1500, 200, g), torch.randn(1500, generator=g)
        label = (torch.rand(1500, generator=g) < 0.3).float()
        loud, quiet = (clicked(seen, label, scale * noise - 0.85) for scale in (3.0, 1.0))
        nights.append(Evidence(period, loud, {"quiet": quiet}))
    judged = replay(RULE, "ctr", "old", nights).judged
    assert judged["quiet"].verdict == "reject" and "no better than the mean click rate" in " ".join(
        judged["quiet"].reasons
    )
    assert judged["quiet"].numbers["ne_served"] > judged["quiet"].numbers["ne"] > 1.05  # type: ignore[operator]
    assert replay(RULE, "ctr", "quiet", nights).judged["quiet"].verdict == "promote", (
        "a refresh may be as bad as before"
    )


def test_no_click_observed_is_held() -> None:
    nights = ctr(4, 0.0, 1.0)
    for night in nights:
        for scored in (night.served, *night.challengers.values()):
            assert scored is not None
            scored["label"].zero_()  # type: ignore[index]
    judged = replay(RULE, "ctr", "old", nights).judged["new"]
    assert judged.verdict in ("hold", "reject")


@pytest.mark.parametrize(("metric", "family"), [("logloss", "ranking"), ("ndcg@20", "ctr"), ("recall@", "ranking")])
def test_a_metric_of_the_other_family_is_refused(metric: str, family: str) -> None:
    with pytest.raises(ValueError, match=r"gate\.metric"):
        decide(Gate(metric=metric), family, None, [])


def test_recall_is_a_metric_too() -> None:
    judged = replay(Gate(metric="recall@10", resamples=200), "ranking", "old", race(1, {"a": 4.0})).judged["a"]
    assert judged.numbers["metric"] == "recall@10"
    assert judged.verdict == "promote"


def test_the_ranking_of_the_whole_catalogue_can_decide() -> None:
    nights = race(1, {"a": 4.0})
    for night in nights:
        for scored in (night.served, *night.challengers.values()):
            assert scored is not None
            scored |= {f"catalogue_{name}": scored[name] for name in ("above", "equal")}  # type: ignore[operator]
    one, other = (
        replay(Gate(metric=metric, resamples=200), "ranking", "old", nights).judged["a"]
        for metric in ("ndcg@20", "catalogue_ndcg@20")
    )
    assert other.verdict == "promote" and other.numbers["metric"] == "catalogue_ndcg@20"
    assert other.numbers["challenger"] == one.numbers["challenger"]


def test_nights_before_the_plan_ranked_the_whole_catalogue_are_no_evidence() -> None:
    """The night after the change was stopped, and so was every repetition of it."""
    nights = race(1, {"a": 4.0})
    for night in nights[-4:]:
        for scored in (night.served, *night.challengers.values()):
            assert scored is not None
            scored |= {f"catalogue_{name}": scored[name] for name in ("above", "equal")}  # type: ignore[operator]
    nights[-5].challengers["a"]["catalogue_above"] = torch.full((800,), -1)  # of a sample that had none of its rows
    rule = Gate(metric="catalogue_ndcg@20", resamples=200)
    for upto, many in ((-4, 0), (-3, 1), (len(nights), 3)):
        judged = replay(rule, "ranking", "old", nights[:upto]).judged["a"]
        assert (judged.verdict == "insufficient_evidence") == (many < 3), judged.reasons
        assert judged.numbers.get("nights", many) == many


def test_auc_is_a_metric_of_clicks() -> None:
    rule = Gate(metric="auc", resamples=200)
    nights = ctr(5, 0.0, 1.0)
    judged = replay(rule, "ctr", "old", nights).judged["new"]
    assert (judged.verdict, judged.numbers["metric"]) == ("promote", "auc")
    challenger = nights[-1].challengers["new"]
    assert judged.numbers["challenger"] == pytest.approx(auc(challenger["label"], challenger["prediction"]), abs=0.03)
    assert judged.numbers["served"] == pytest.approx(0.5)


def test_a_night_of_one_class_has_no_auc_and_adds_nothing() -> None:
    nights = ctr(5, 0.0, 1.0)
    for scored in (nights[4].served, *nights[4].challengers.values()):
        assert scored is not None
        scored["label"] = torch.zeros(1500)  # type: ignore[index]
    judged = replay(Gate(metric="auc", resamples=200), "ctr", "old", nights).judged["new"]
    assert judged.numbers["evidence_nights"] == 9


def test_the_plans_own_slices_are_guarded() -> None:
    g, nights = torch.Generator().manual_seed(0), []
    for period in range(3):
        seen = rows(2000, 300, g)
        country = torch.where(seen["user"] % 3 == 0, 1, 0)
        served = {**ranked(seen, torch.ones(300), g), "slice/country": country}
        better = ranked(seen, torch.full((300,), 8.0), g)
        better["above"] = torch.where(country == 1, 900, better["above"])
        nights.append(Evidence(period, served, {"new": better}, values={"country": ["SE", "NO"]}))
    judged = replay(Gate(resamples=200, slices=("country",)), "ranking", "old", nights).judged["new"]
    assert judged.verdict == "reject"
    assert "For rows with country=NO it is worse by 100.0 %" in judged.reasons[0]
    assert not [reason for reason in judged.reasons if "country=SE" in reason]
    slices = judged.numbers["slices"]
    assert isinstance(slices, dict) and {"country=SE", "country=NO"} <= set(slices)


def test_the_most_frequent_values_of_a_slice_are_judged_and_no_others() -> None:
    g = torch.Generator().manual_seed(0)
    seen = rows(2000, 300, g)
    code = (torch.rand(2000, generator=g) ** 2 * 40).long()
    served = {**ranked(seen, torch.ones(300), g), "slice/shop": code}
    night = Evidence(0, served, {"new": ranked(seen, torch.ones(300), g)}, values={"shop": [str(i) for i in range(40)]})
    slices = decide(Gate(resamples=200, evidence_nights=1), "ranking", "old", [night]).judged["new"].numbers["slices"]
    assert isinstance(slices, dict)
    shops = [name for name in slices if name.startswith("shop=")]
    assert len(shops) == 10 and "shop=0" in shops and "shop=39" not in shops


def test_a_long_value_of_a_slice_is_cut_in_the_manifest_and_still_guarded() -> None:
    """A stranger may write 64 kB into a category. They stood in every manifest, once for each challenger and reason."""
    g = torch.Generator().manual_seed(0)
    seen = rows(2000, 300, g)
    served = {**ranked(seen, torch.ones(300), g), "slice/shop": seen["user"] % 2}
    worse = {**ranked(seen, torch.ones(300), g), "above": torch.full((2000,), 900, dtype=torch.int32)}
    night = Evidence(0, served, {"new": worse}, values={"shop": ["x" * 64_000 + "0", "x" * 64_000 + "1"]})
    judged = decide(Gate(resamples=200, evidence_nights=1), "ranking", "old", [night]).judged["new"]
    slices = judged.numbers["slices"]
    assert isinstance(slices, dict) and len([name for name in slices if name.startswith("shop=")]) == 2
    assert len(canonical_json(judged.model_dump(mode="json"))) < 10_000


@pytest.mark.parametrize("moved", [[1, 0], [1, 2, 0]])
def test_a_night_in_which_each_users_gains_and_losses_are_equal_adds_nothing(moved: list[int]) -> None:
    """One user's items changed places, and nothing else did: there is no error to divide by."""
    size, user = len(moved), torch.arange(40).repeat_interleave(len(moved))
    no = torch.zeros(len(user), dtype=torch.bool)
    seen = {"user": user, "item": torch.arange(len(user)), "new_user": no, "new_item": no, "equal": 0 * user}
    above = torch.arange(size).repeat(40)
    other = above.clone()
    other[:size] = torch.tensor(moved)
    night = [
        Evidence(number, {**seen, "above": above}, {"SML": {**seen, "above": other}}, f"night {number}")
        for number in range(2)
    ]
    decision = replay(Gate(evidence_nights=1), "ranking", "FineTune", night)
    assert decision.evidence is not None and decision.evidence.rivals["SML"].nights == 0
    assert decision.judged["SML"].verdict == "hold"
