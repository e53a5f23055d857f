"""ReLoop2 has the properties L1 to L11, with both memories where they concern both."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nightloop.tasks.correction.corrector import ScoredRows, Shape, State
from nightloop.tasks.correction.knn_memory import Neighbours
from nightloop.tasks.correction.lsh_memory import Sketch
from nightloop.tasks.correctors.counters import Counters
from nightloop.tasks.correctors.recalibration import Recalibration
from nightloop.tasks.correctors.reloop2 import ReLoop2
from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.evaluation.ctr_metrics import logloss
from tests.correctors import make_rows

BOTH = pytest.mark.parametrize(
    "memory", [Sketch(warm=50, bits=6), Neighbours(capacity=500)], ids=["sketch", "neighbours"]
)
Memory = Sketch | Neighbours


def fixed(memory: Memory, strength: float, transfer: float = 1.0, prior: float = 0.0) -> ReLoop2:
    return ReLoop2(memory, (strength,), (transfer,), prior)


def cosine_world(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 32, generator=g), torch.randn(3, 32, generator=g)


def filled(sketch: Sketch, hidden: Tensor, label: Tensor, prediction: Tensor) -> State:
    state = sketch.start(hidden.shape[1])
    sketch.write(state, sketch.key(state, hidden), label, prediction)
    return state


@BOTH
def test_l1_no_strength_or_an_empty_memory_leaves_the_base_as_it_is(memory: Memory) -> None:
    world = make_rows.stream(600)
    assert torch.equal(make_rows.prequential(make_rows.chain(fixed(memory, 0.0)), world), world.scored.probability)
    corrected, _ = make_rows.chain(fixed(memory, 1.0)).correct(world.scored)
    assert torch.equal(corrected, world.scored.probability)


def test_l2_one_neighbour_at_full_strength_is_its_label() -> None:
    world = make_rows.stream(300)
    one = make_rows.chain(fixed(Neighbours(capacity=300, k=1), 1.0))
    notes = one.correct(world.scored)[1]
    one.observe("a", notes, world.label)
    rows = world.scored.rows.tolist()
    alone = [j for j, row in enumerate(rows) if rows.count(row) == 1]  # whose nearest neighbour is itself
    assert len(alone) > 200
    assert torch.allclose(one.correct(world.scored)[0][alone], world.label[alone], atol=1e-6)


@BOTH
def test_l3_no_error_is_passed_on_where_the_base_is_right_about_similar_rows(memory: Memory) -> None:
    hidden, _ = cosine_world(200)
    p = torch.full((200,), 0.5)
    label = torch.arange(200) % 2 * 1.0
    pairs = hidden[::2].repeat_interleave(2, 0)  # each point once clicked, once not: 0.5 is exactly right
    corrector = fixed(memory, 1.0, 0.0)
    state = corrector.start(Shape(32, 1, 1))
    scored = ScoredRows(torch.zeros(200, 2).long(), pairs, p)
    corrector.observe(state, corrector.correct(state, scored)[1], label)
    assert torch.allclose(corrector.correct(state, scored)[0], p, atol=1e-5 if isinstance(memory, Sketch) else 0.05)


def test_l4_probabilities_are_cut_at_the_end_alone_and_cutting_ties_the_order() -> None:
    corrector, hidden = fixed(Neighbours(capacity=10, k=1), 1.0, 0.0), torch.ones(3, 4)
    state = corrector.start(Shape(4, 1, 1))
    observed = torch.cat([torch.full((1, 1), 0.4), torch.zeros(1, 3), torch.ones(1, 4) / 2], 1)
    corrector.observe(state, observed, torch.ones(1))  # a click that was given 0.4: the error is 0.6
    scored = ScoredRows(torch.zeros(3, 2).long(), hidden, torch.tensor([0.3, 0.7, 0.9]))
    corrected, note = corrector.correct(state, scored)
    unclipped = scored.probability + corrector.error(note[:, 0], note[:, 1:4], 1.0, 0.0)
    assert unclipped.tolist() == pytest.approx([0.9, 1.3, 1.5]) and corrected.tolist() == pytest.approx([0.9, 1, 1])
    label = torch.tensor([0.0, 0.0, 1.0])
    assert auc(label, unclipped) == 1.0 and auc(label, corrected) == 0.75


def test_l5_counts_are_collision_probabilities_and_ratios_are_kernel_weighted_labels() -> None:
    hidden, queries = cosine_world(4000)
    angle = torch.acos(torch.cosine_similarity(queries[:, None], hidden[None], dim=2))
    kernel = (1 - angle / math.pi) ** 6
    label = (hidden @ queries.T > 2).any(1).float()
    sketch = Sketch(arrays=400, bits=6, planes=2400, half_life=0)
    state = filled(sketch, hidden, label, label * 0.5)
    state["centre"].zero_()  # hidden is centred as it is; then angles are those of the formula
    state["sums"].zero_()
    state["waits"].fill_(sketch.warm)
    sketch.write(state, sketch.key(state, hidden), label, label * 0.5)
    read = sketch.read(state, sketch.key(state, queries))
    assert torch.allclose(read[:, 2], kernel.sum(1), rtol=0.1)
    expected = (kernel * label).sum(1) / kernel.sum(1)
    assert torch.allclose(read[:, 0], expected, atol=0.02) and torch.allclose(read[:, 1], expected / 2, atol=0.01)


def test_l5_a_pool_of_planes_reads_what_independent_planes_read_on_average() -> None:
    hidden, queries = cosine_world(4000)
    label = (hidden @ queries[0] > 0).float()
    means = []
    for planes in (48, 192):
        reads = []
        for seed in range(12):
            sketch = Sketch(bits=8, planes=planes, half_life=0, seed=seed)
            state = filled(sketch, hidden, label, label)
            reads.append(sketch.read(state, sketch.key(state, queries))[:, 0])
        means.append(torch.stack(reads).mean(0))
    assert torch.allclose(means[0], means[1], atol=0.05)


@BOTH
def test_l6_a_written_row_pulls_what_is_read_towards_its_label_and_order_does_not_matter(memory: Memory) -> None:
    memory = replace(memory, half_life=0) if isinstance(memory, Sketch) else memory
    hidden, _ = cosine_world(200)
    label, p = (torch.arange(200) % 3 == 0).float(), torch.full((200,), 0.3)
    state = memory.start(32)
    key = memory.key(state, hidden)
    memory.write(state, key[:150], label[:150], p[:150])
    before = memory.read(state, key[:1])[0, 0]
    assert label[0] == 1 and before < 1
    memory.write(state, key[:1], label[:1], p[:1])
    assert memory.read(state, key[:1])[0, 0] > before

    def read_after(order: Tensor) -> Tensor:
        fresh = memory.start(32)
        head, tail = torch.arange(100), 100 + order  # the rows that fix the centre come first in both
        for places in (head, *tail.split(7)):
            memory.write(fresh, key[places], label[places], p[places])
        return memory.read(fresh, key)

    backwards = torch.arange(99, -1, -1)
    assert torch.allclose(read_after(torch.arange(100)), read_after(backwards), atol=1e-4)


@BOTH
def test_l7_the_memory_does_not_grow(memory: Memory) -> None:
    corrector = ReLoop2(memory)
    state = corrector.start(Shape(2 * make_rows.WIDTH, make_rows.USERS, make_rows.ITEMS))
    sizes = {name: tensor.shape for name, tensor in state.items()}
    world = make_rows.stream(3000)
    one = make_rows.chain(corrector)
    make_rows.prequential(one, world)
    assert {name: tensor.shape for name, tensor in one.states["c0"].items()} == sizes
    assert all(bool(torch.isfinite(tensor).all()) for tensor in one.states["c0"].values())


def test_l8_notes_of_another_version_are_refused_and_nothing_is_learned() -> None:
    world = make_rows.stream(300)
    one = make_rows.chain(ReLoop2(), version="night 1")
    notes = one.correct(world.scored)[1]
    before = one.snapshot()
    with pytest.raises(ValueError, match=r"served by night 0, the correctors learned from night 1"):
        one.observe("night 0", notes, world.label)
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.snapshot().items())


def test_l8_what_is_stored_is_what_came_in_never_what_went_out() -> None:
    world = make_rows.stream(600)
    corrector = fixed(Neighbours(capacity=1000), 0.9)
    one = make_rows.chain(corrector)
    corrected = make_rows.prequential(one, world)
    assert not torch.allclose(corrected, world.scored.probability, atol=0.05)
    assert torch.equal(one.states["c0"]["values"][:600, 1], world.scored.probability)


@pytest.mark.parametrize(
    "corrector",
    [ReLoop2(Sketch(warm=50), (0.5,), (0.5,)), ReLoop2(Neighbours(500)), Recalibration("platt"), Counters()],
    ids=["sketch", "neighbours", "recalibration", "counters"],
)
def test_l9_labels_of_a_slot_change_nothing_before_the_next_slot(
    corrector: ReLoop2 | Recalibration | Counters,
) -> None:
    world = make_rows.stream(2000, shift=2.0, turn=0.0)
    honest = make_rows.prequential(make_rows.chain(corrector), world)
    corrupted = make_rows.Stream(world.scored, world.label.clone())
    corrupted.label[1000:1200] = 1 - corrupted.label[1000:1200]
    found = make_rows.prequential(make_rows.chain(corrector), corrupted)
    assert torch.equal(found[:1200], honest[:1200]) and not torch.equal(found[1200:], honest[1200:])


@BOTH
def test_l10_nothing_is_gained_or_lost_where_nothing_moved_and_much_is_gained_where_labels_shift(
    memory: Memory,
) -> None:
    def gain(shift: float) -> float:
        world = make_rows.stream(12_000, shift)
        corrected = make_rows.prequential(make_rows.chain(ReLoop2(memory)), world)
        late = slice(4000, None)
        base, better = (logloss(world.label[late], p[late]).mean() for p in (world.scored.probability, corrected))
        return float(base - better)

    assert abs(gain(0.0)) < 0.001 and gain(2.0) > 0.01


def test_l11_buckets_do_not_depend_on_the_scale_of_h_nor_after_centring_on_a_shift() -> None:
    hidden, _ = cosine_world(2000)
    zeros = torch.zeros(2000)
    plain, sketch = hidden.clone(), Sketch(bits=8, half_life=0)
    found = {}
    for name, view in {"plain": plain, "scaled": plain * 7, "shifted": plain + 5, "uncentred": plain + 5}.items():
        state = filled(sketch, view, zeros, zeros)
        if name == "uncentred":
            state = sketch.start(32)
            state["waits"].fill_(sketch.warm)
            sketch.write(state, sketch.key(state, view), zeros, zeros)
        found[name] = (sketch.buckets(state, sketch.key(state, view)), sketch.occupancy(state))
    assert torch.equal(found["plain"][0], found["scaled"][0])
    assert (found["plain"][0] == found["shifted"][0]).float().mean() > 0.999
    assert found["plain"][1] > 0.9 > 0.6 > found["uncentred"][1]


def test_what_came_long_ago_counts_less() -> None:
    hidden, _ = cosine_world(1)
    sketch = Sketch(warm=1, half_life=100)
    state = sketch.start(32)
    key = sketch.key(state, hidden).expand(2500, -1)
    sketch.write(state, key[:1000], torch.zeros(1000), torch.zeros(1000))
    for _ in range(25):
        sketch.write(state, key[:100], torch.ones(100), torch.zeros(100))
    label, _, rows = sketch.read(state, key[:1])[0].tolist()
    assert label > 0.999 and rows < 250  # 100 rows at weights 1/2, 1/4, ...; the old ones at 2^-25
