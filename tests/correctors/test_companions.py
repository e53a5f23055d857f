"""Recalibration and counters: what they explain, what they leave alone; correctors in a row; plans and snapshots."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nightloop.tasks.correction.chain import restore_chain
from nightloop.tasks.correction.corrector import ScoredRows
from nightloop.tasks.correction.knn_memory import Neighbours
from nightloop.tasks.correctors import build_all
from nightloop.tasks.correctors.counters import Counters
from nightloop.tasks.correctors.recalibration import Recalibration
from nightloop.tasks.correctors.reloop2 import ReLoop2
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.evaluation.ctr_metrics import calibration, logloss
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import from_bytes, to_bytes
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import classes
from nightloop.tasks.training.resize import initial_weights
from tests.correctors import make_rows
from tests.correctors.replay import replay_stream, time_slots
from tests.models.make_logs import make


@pytest.mark.parametrize("form", ["intercept", "platt"])
def test_recalibration_finds_the_line_that_the_base_is_off_by(form: str) -> None:
    world = make_rows.stream(20_000)
    p = world.scored.probability
    slope = 0.5 if form == "platt" else 1.0
    wrong = torch.sigmoid((torch.logit(p) + 0.8) / slope)
    found = make_rows.prequential(
        make_rows.chain(Recalibration(form)),  # type: ignore[arg-type]
        make_rows.Stream(ScoredRows(world.scored.rows, world.scored.hidden, wrong), world.label),
    )
    late = slice(5000, None)
    assert calibration(world.label[late], wrong[late]) > 1.1
    assert calibration(world.label[late], found[late]) == pytest.approx(1, abs=0.03)
    assert logloss(world.label[late], found[late]).mean() < logloss(world.label[late], p[late]).mean() + 0.002


def test_counters_learn_items_that_changed_and_a_shrunk_rate_is_the_beta_posterior() -> None:
    world, one = make_rows.stream(12_000, shift=2.0), make_rows.chain(Counters())
    found = make_rows.prequential(one, world)
    late = slice(6000, None)
    assert auc(world.label[late], found[late]) > auc(world.label[late], world.scored.probability[late]) + 0.02
    corrector = Counters(prior=10, strengths=(1.0,), half_life=0)
    state = make_rows.chain(corrector).states["c0"]
    scored = ScoredRows(torch.tensor([[3, 5]]), torch.zeros(1, 32), torch.tensor([0.2]))
    for label in (1, 1, 0, 0):
        corrector.observe(state, corrector.correct(state, scored)[1], torch.tensor([float(label)]))
    posterior = (2 + 10 * 0.2) / (4 + 10)
    d_item = math.log(posterior / (1 - posterior)) - math.log(0.2 / 0.8)
    assert float(corrector.correct(state, scored)[1][0, 3]) == pytest.approx(d_item, abs=1e-5)


@pytest.mark.parametrize("corrector", [Counters(), Recalibration()], ids=["counters", "recalibration"])
def test_a_base_that_is_right_is_left_alone(corrector: Counters | Recalibration) -> None:
    world = make_rows.stream(12_000)
    found = make_rows.prequential(make_rows.chain(corrector), world)
    assert abs(float((logloss(world.label, found) - logloss(world.label, world.scored.probability)).mean())) < 0.001


def test_strangers_are_corrected_and_counted_together() -> None:
    corrector = Counters(strengths=(1.0,))
    one = make_rows.chain(corrector)
    rows = torch.tensor([[-1, -1], [make_rows.USERS, make_rows.ITEMS], [10**6, 3]])
    scored = ScoredRows(rows, torch.zeros(3, 32), torch.full((3,), 0.5))
    one.observe("a", one.correct(scored)[1], torch.ones(3))
    assert one.states["c0"]["user"][-1, 0] == 3 and one.states["c0"]["item"][-1, 0] == 2
    assert bool(torch.isfinite(one.correct(scored)[0]).all())


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_a_certain_base_breaks_nothing(certain: float) -> None:
    one = make_rows.chain(Recalibration("platt"), Counters(), ReLoop2(), ReLoop2(Neighbours()))
    world = make_rows.stream(2000)
    sure = ScoredRows(world.scored.rows, world.scored.hidden, torch.full((2000,), certain))
    found = make_rows.prequential(one, make_rows.Stream(sure, world.label))
    assert bool(((found >= 0) & (found <= 1)).all())
    assert all(bool(torch.isfinite(t).all()) for t in one.snapshot().values())


def test_each_corrector_is_handed_what_the_one_before_made_of_the_prediction() -> None:
    world = make_rows.stream(4000, shift=2.0, turn=0.0)
    both, first = make_rows.chain(Recalibration(), Counters()), make_rows.chain(Recalibration())
    half = make_rows.part(world.scored, slice(0, 2000))
    for one in (both, first):
        one.observe("a", one.correct(half)[1], world.label[:2000])
    _, notes = both.correct(world.scored)
    assert torch.allclose(notes[1][:, 2].float(), first.correct(world.scored)[0])


def test_a_snapshot_goes_on_where_it_was_and_another_version_or_other_options_are_refused() -> None:
    world = make_rows.stream(4000, shift=2.0)
    parts = (Recalibration(), Counters(), ReLoop2())
    whole, halved = make_rows.chain(*parts), make_rows.chain(*parts)
    first, second = (
        make_rows.Stream(make_rows.part(world.scored, places), world.label[places])
        for places in (slice(0, 2000), slice(2000, None))
    )
    expected = make_rows.prequential(whole, world)[2000:]
    make_rows.prequential(halved, first)
    kept = from_bytes(to_bytes(halved.snapshot()))
    assert torch.equal(make_rows.prequential(restore_chain(make_rows.chain(*parts), "a", kept), second), expected)
    with pytest.raises(ValueError, match=r"snapshot is of b"):
        restore_chain(make_rows.chain(*parts), "b", kept)
    with pytest.raises(ValueError, match=r"c2 was made with other options"):
        restore_chain(make_rows.chain(Recalibration(), Counters(), ReLoop2(Neighbours())), "a", kept)


def test_a_replay_scores_each_slot_before_it_learns_from_it_and_a_delay_postpones_what_is_known() -> None:
    logs = make((30, 20, 4), 2000, numeric=2, labels=True)
    model = DeepFM(logs.fields, 2, width=4, hidden=(8,))
    weights = initial_weights(model, logs)
    parts = {"rate": Recalibration(), "memory": ReLoop2()}
    found = replay_stream(parts, model, weights, logs, slot=200)
    flipped = replace(logs, label=torch.cat([logs.label[:1000], 1 - logs.label[1000:]]))
    other = replay_stream(parts, model, weights, flipped, slot=200)
    assert torch.equal(found.base, other.base) and torch.equal(found.corrected[:1200], other.corrected[:1200])
    assert not torch.equal(found.corrected[1200:], other.corrected[1200:])
    late = replay_stream(parts, model, weights, flipped, slot=200, delay=2)
    assert torch.equal(late.corrected[:600], late.base[:600]) and not torch.equal(late.corrected, late.base)
    shuffled = torch.randperm(2000, generator=torch.Generator().manual_seed(1))
    again = replay_stream(parts, model, weights, logs.select(shuffled), slot=200)
    assert torch.allclose(again.corrected, found.corrected[shuffled], atol=1e-6)
    with pytest.raises(ValueError, match="ranking model"):
        replay_stream(parts, MF(width=4), weights, logs)


def test_rows_of_one_moment_are_never_in_two_slots() -> None:
    cut = time_slots(torch.tensor([5, 1, 1, 1, 2, 9]), 2)
    assert [c.tolist() for c in cut] == [[1, 2, 3], [4, 0], [5]]


def test_plans_build_correctors_and_mistakes_are_named_with_what_is_legal() -> None:
    assert {"ReLoop2", "Recalibration", "Counters"} <= set(classes("corrector"))
    part = Part(use="ReLoop2", options={"memory": {"kind": "neighbours", "k": 3}, "lambdas": [0.4]})
    made_part = build_all({"memory": part})["memory"]
    assert made_part == ReLoop2(Neighbours(k=3), (0.4,))
    wrong = {
        "a": Part(use="ReLoop3"),
        "b": Part(use="ReLoop2", options={"lamda": 1}),
        "c": Part(use="ReLoop2", options={"memory": {"kind": "sketch", "bits": 99, "arrays": 0}}),
        "d": Part(use="ReLoop2", options={"memory": {"kind": "sketch", "bit": 9}}),
        "e": Part(use="Recalibration", options={"form": "isotonic", "prior": -1}),
        "f": Part(use="Counters", options={"strengths": [2]}),
        "g": Part(use="ReLoop2", options={"lambdas": []}),
        "h": Part(use="ReLoop2", options={"memory": {"kind": "neighbours", "k": 0}}),
        "i": Part(use="ReLoop2", options={"memory": {"kind": "neighbours", "capacity": 10**12}}),
        "j": Part(use="ReLoop2", options={"memory": {"kind": "sketch", "planes": 10**9, "warm": 10**9}}),
    }
    with pytest.raises(ValueError) as told:
        build_all(wrong)
    expected = (
        "correctors.a: no corrector 'ReLoop3' (did you mean ReLoop2?); installed are Counters, ReLoop2, Recalibration",
        "correctors.b.lamda: no such option of ReLoop2 (did you mean lambdas?); it has memory, lambdas, gammas",
        "bits: given 99; at most 20",
        "arrays: given 0; 1 or more",
        "memory.sketch.bit: given 9; no such option",
        "'intercept' or 'platt'",
        "correctors.f.given strengths",
        "allowed are one or more numbers from 0 to 1",
        "correctors.h",
        "1 <= k <= capacity <= 10,000,000",
        "planes: given 1000000000; at most 10,000",
        "warm: given 1000000000; at most 1,000,000",
    )
    assert [e for e in expected if e not in str(told.value)] == [], str(told.value)
