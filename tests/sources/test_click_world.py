"""The click worlds: the shapes of Criteo and Avazu, known chances that are true, and drift that can be switched off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.simulation.days import midnight
from nightloop.tasks.sources import build
from nightloop.tasks.sources.click_world import DAY, HOUR, ITEM, ClickWorld

CRITEO, AVAZU = ClickWorld("criteo", seed=3), ClickWorld("avazu", seed=3)


def table(world: ClickWorld, first: int, last: int) -> pa.Table:
    period = Period(index=0, name="x", start=midnight(world.start, first), end=midnight(world.start, last))
    return pa.Table.from_batches(world.batches(None, period, world.columns))


def test_the_published_shapes_are_an_option() -> None:
    criteo = build(Part(use="click-world", options={"like": "criteo", "size": "full"}))
    avazu = ClickWorld("avazu", "full")
    assert isinstance(criteo, ClickWorld)
    assert (criteo.shape.fields, criteo.shape.numeric, criteo.shape.rows * criteo.shape.days) == (26, 13, 45_840_620)
    assert (avazu.shape.fields, avazu.shape.numeric, avazu.shape.rows * avazu.shape.days) == (22, 0, 40_428_970)
    busy = ClickWorld("criteo", rows=123)
    assert busy.shape == CRITEO.shape._replace(rows=123) and len(busy.day(1).label) == 123
    columns = criteo.columns
    assert len((columns.user, columns.item, *columns.categorical)) == 26 and len(columns.numeric) == 13


@pytest.mark.parametrize("world", [CRITEO, AVAZU])
def test_a_day_is_the_same_whatever_was_read_before_and_differs_between_seeds(world: ClickWorld) -> None:
    alone, together = table(world, 3, 4), table(world, 2, 5)
    times = together.column("ts").cast(pa.int64()).to_numpy()
    within = (times >= midnight(world.start, 3)) & (times < midnight(world.start, 4))
    assert together.filter(pa.array(within)).combine_chunks().equals(alone.combine_chunks())
    assert not table(replace(world, seed=4), 3, 4).equals(alone)


def test_vocabularies_have_heavy_tails() -> None:
    values = CRITEO.day(2).values
    for field in (0, 20, 25):
        counts = np.sort(np.bincount(values[:, field]))[::-1]
        assert counts[0] > 20 * np.median(counts[counts > 0])
    assert (values >= 0).all()


def test_chances_are_true_and_labels_come_back_later() -> None:
    for world, rate in ((CRITEO, 0.25), (AVAZU, 0.17)):
        still = replace(world, drift=0.0)
        day = still.day(4)
        assert abs(day.chance.mean() - rate) < 0.1
        order = np.argsort(day.chance)
        for part in np.array_split(order, 10):  # calibrated everywhere, not on the mean alone
            assert abs(day.label[part].mean() - day.chance[part].mean()) < 0.06
        assert auc(torch.tensor(day.label).float(), torch.tensor(day.chance)) > 0.8
        assert (day.known >= day.times).all()
        assert 0.8 * HOUR < np.mean(day.known - day.times) < 1.2 * HOUR


def test_avazu_is_told_by_the_hour_and_criteo_to_the_instant() -> None:
    avazu, criteo = AVAZU.day(2).times, CRITEO.day(2).times
    assert (avazu % HOUR == 0).all() and len(np.unique(avazu)) == 24
    assert len(np.unique(criteo)) > 0.99 * len(criteo)
    assert criteo.min() >= midnight(CRITEO.start, 2) and criteo.max() < midnight(CRITEO.start, 2) + DAY


def test_drift_moves_chances_within_a_day_and_brings_new_items_and_stillness_does_not() -> None:
    day = CRITEO.day(5)
    for world, moves in ((CRITEO, True), (replace(CRITEO, drift=0.0), False)):
        early, late = (world._logit(day.values, day.numbers, np.full(len(day.values), at)) for at in (5.0, 5.9))
        assert (np.abs(early - late).max() > 0.05) == moves
        new = set(world.day(8).values[:, ITEM]) - set(np.concatenate([world.day(n).values[:, ITEM] for n in range(6)]))
        assert (max(new, default=0) >= world.sizes[ITEM]) == moves
    bases = [replace(CRITEO, crosses=0.0).day(number).chance.mean() for number in range(14)]
    assert max(bases) > 1.2 * min(bases)


def test_without_crosses_single_values_say_all() -> None:
    plain = replace(CRITEO, crosses=0.0, drift=0.0)
    day = plain.day(1)
    f, g = plain.crossed[0][0]

    def effect(values: np.ndarray) -> np.ndarray:
        return plain._logit(values, day.numbers, np.ones(len(values)))

    both, one, other = day.values.copy(), day.values.copy(), day.values.copy()
    both[:, [f, g]], one[:, f], other[:, g] = 0, 0, 0
    assert np.allclose(effect(both) - effect(one) - effect(other) + effect(day.values), 0)
    crossed = replace(plain, crosses=1.0)
    together = crossed._logit(both, day.numbers, np.ones(len(both))) + crossed._logit(
        day.values, day.numbers, np.ones(len(both))
    )
    apart = crossed._logit(one, day.numbers, np.ones(len(both))) + crossed._logit(
        other, day.numbers, np.ones(len(both))
    )
    assert np.abs(together - apart).max() > 0.5


def test_impossible_options_and_columns_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"like is 'mars'.*size is 'huge'.*drift is 9.*rows is -1.*start is 'soon'"):
        ClickWorld("mars", "huge", drift=9, start="soon", rows=-1)  # type: ignore[arg-type]
    columns = AVAZU.columns.model_copy(update={"numeric": ("I1",)})
    with pytest.raises(ValueError, match=r"\(avazu\) has no column \['I1'\]"):
        AVAZU.batches(None, Period(index=0, name="x", start=0, end=DAY), columns)
