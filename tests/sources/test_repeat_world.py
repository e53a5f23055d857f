"""The repeat world: the chances that the benchmark fixes, and the same days from any process and order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Columns, Part
from nightloop.tasks.simulation.days import midnight
from nightloop.tasks.sources import build
from nightloop.tasks.sources.repeat_world import DAYS, ITEMS, ROWS, USERS, RepeatWorld

WORLD, COLUMNS = RepeatWorld(seed=3), Columns(user="user_id", item="item_id", time="ts")


def table(world: RepeatWorld, first: int, last: int) -> pa.Table:
    period = Period(index=0, name="x", start=midnight(world.start, first), end=midnight(world.start, last))
    return pa.Table.from_batches(world.batches(None, period, COLUMNS))


def test_the_shape_is_the_one_that_was_fixed() -> None:
    assert (USERS, ITEMS, ROWS, DAYS) == (3000, 1500, 5000, 30)
    whole = pa.Table.from_batches(WORLD.batches(None, Period(index=0, name="x", start=None, end=None), COLUMNS))
    assert whole.num_rows == ROWS * DAYS
    assert all(len(set(own)) == 8 for own in WORLD.favourites.tolist())
    cluster_of, items_of = WORLD.clusters
    assert (
        items_of.shape == (15, 100)
        and sorted(items_of.ravel()) == list(range(ITEMS))
        and set(cluster_of) == set(range(15))
    )


def test_a_day_is_the_same_whatever_was_read_before_and_differs_between_seeds() -> None:
    alone, together = table(WORLD, 9, 10), table(WORLD, 0, 12)
    times = together.column("ts").cast(pa.int64()).to_numpy()
    within = (times >= midnight(WORLD.start, 9)) & (times < midnight(WORLD.start, 10))
    assert together.filter(pa.array(within)).equals(alone.combine_chunks()) and (np.diff(times) > 0).all()
    assert not table(build(Part(use="repeat-world", options={"seed": 4})), 9, 10).equals(alone)


def test_rows_follow_the_chances() -> None:
    """Of 150,000 rows the shares of the three kinds are within four standard errors, and so is the mean chance of a row."""
    cluster_of, items_of = WORLD.clusters
    own, shared, seen, expected, spread = 0.0, 0.0, 0.0, 0.0, 0.0
    for day in range(DAYS):
        users, items, _ = WORLD.purchases(day)
        chance = WORLD.chances(day)
        assert np.allclose(chance.sum(1), 1)
        at = np.arange(USERS)[:, None]
        favourite, cluster = np.zeros((USERS, ITEMS), bool), np.zeros((USERS, ITEMS), bool)
        favourite[at, WORLD.favourites] = True
        cluster[at, items_of[cluster_of]] = True
        own += (favourite[users, items].mean() - (chance * favourite).sum(1).mean()) / DAYS
        shared += (cluster[users, items].mean() - (chance * cluster).sum(1).mean()) / DAYS
        seen += chance[users, items].mean() / DAYS
        expected += (chance**2).sum(1).mean() / DAYS
        spread += (chance**3).sum(1).mean() / DAYS
    assert abs(own) < 4 * 0.5 / (ROWS * DAYS) ** 0.5 and abs(shared) < 4 * 0.5 / (ROWS * DAYS) ** 0.5
    assert abs(seen - expected) < 4 * ((spread - expected**2) / (ROWS * DAYS)) ** 0.5


def test_popularity_walks() -> None:
    steps = np.diff(np.log(WORLD.popularity), axis=0)
    assert steps.std() == pytest.approx(0.15, rel=0.02) and np.log(WORLD.popularity[0]).std() == pytest.approx(
        1, rel=0.1
    )


def test_impossible_options_and_columns_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"seed is -1.*start is 'soon'"):
        RepeatWorld("soon", -1)
    with pytest.raises(ValueError, match=r"no column \['hour'\]; it has user_id, item_id, ts"):
        WORLD.batches(
            None, Period(index=0, name="x", start=0, end=1), COLUMNS.model_copy(update={"categorical": ("hour",)})
        )
