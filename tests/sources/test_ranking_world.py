"""The ranking worlds: the shapes of the papers, lives and drift as said, and the same days from any process and order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Columns, Part
from nightloop.tasks.simulation.days import midnight
from nightloop.tasks.simulation.latent_world import Oracle
from nightloop.tasks.sources import build
from nightloop.tasks.sources.ranking_world import DAY, RankingWorld

NEWS, PLACES = RankingWorld("adressa", seed=3), RankingWorld("yelp", seed=3)
COLUMNS = Columns(user="user_id", item="item_id", time="ts")


def table(world: RankingWorld, first: int, last: int) -> pa.Table:
    period = Period(index=0, name="x", start=midnight(world.start, first), end=midnight(world.start, last))
    return pa.Table.from_batches(world.batches(None, period, COLUMNS))


def test_the_papers_sizes_are_an_option() -> None:
    news = build(Part(use="ranking-world", options={"like": "adressa", "size": "paper"}))
    places = RankingWorld("yelp", "paper")
    assert isinstance(news, RankingWorld)
    assert (news.shape[0], news.shape[1], news.shape[3]) == (478_612, 20_875, 63)
    assert (places.shape[0], places.shape[1], places.shape[3]) == (59_082, 122_816, 40)
    assert "478612 users x 20875 items x 63 days" in news.describe()


@pytest.mark.parametrize("world", [NEWS, PLACES])
def test_a_day_is_the_same_whatever_was_read_before_and_differs_between_seeds(world: RankingWorld) -> None:
    alone = table(world, 9, 10)
    together = table(world, 0, 12)
    times = together.column("ts").cast(pa.int64()).to_numpy()
    within = (times >= midnight(world.start, 9)) & (times < midnight(world.start, 10))
    assert together.filter(pa.array(within)).equals(alone.combine_chunks())
    assert not table(replace(world, seed=4), 9, 10).equals(alone)


@pytest.mark.parametrize("world", [NEWS, PLACES])
def test_rows_come_in_order_of_time_and_are_as_many_as_the_shape_says(world: RankingWorld) -> None:
    start = midnight(world.start, 5) + DAY // 2
    half = Period(index=0, name="x", start=start, end=start + DAY)
    times = pa.Table.from_batches(world.batches(None, half, COLUMNS)).column("ts").cast(pa.int64()).to_numpy()
    assert times.min() >= start and times.max() < start + DAY
    assert (np.diff(times) > 0).all()
    mean = np.mean([len(world.takes(day)[0]) for day in range(4, 10)])
    assert 0.85 * world.shape[2] < mean < 1.1 * world.shape[2]


def test_news_are_gone_in_days_and_places_stay() -> None:
    gone = {name: set(world.alive(5)[1]) - set(world.alive(17)[1]) for name, world in (("n", NEWS), ("p", PLACES))}
    assert len(gone["n"]) > 0.9 * len(NEWS.alive(5)[1])
    assert not gone["p"]
    for world in (NEWS, PLACES):
        new = [set(world.alive(day)[1]) - set(world.alive(day - 1)[1]) for day in range(1, 18)]
        assert all(new), "items are born every day"


def test_nobody_takes_a_place_twice_nor_a_story_twice_a_day() -> None:
    pairs = [set(zip(*PLACES.takes(day)[:2], strict=True)) for day in range(18)]
    assert sum(map(len, pairs)) == len(set().union(*pairs)) == sum(len(PLACES.takes(day)[0]) for day in range(18))
    users, items, _ = NEWS.takes(6)
    assert len(set(zip(users, items, strict=True))) == len(users)


def likeness(world: RankingWorld, days: int) -> float:
    """The correlation of the users' tastes with those they had `days` earlier."""
    who = np.arange(2000, dtype=np.int64)
    return float(np.corrcoef(world.tastes_of(who, 12).ravel(), world.tastes_of(who, 12 - days).ravel())[0, 1])


def test_interests_move_as_fast_as_the_pace_says_and_with_a_velocity() -> None:
    assert likeness(NEWS, 10) < 0.5 < 0.95 < likeness(PLACES, 10)
    assert likeness(replace(NEWS, drift=0.0), 10) == pytest.approx(1.0)
    who = np.arange(2000, dtype=np.int64)
    before, now, after = (NEWS.tastes_of(who, day).ravel() for day in (9, 10, 11))
    straight = np.mean((after - (2 * now - before)) ** 2)  # where yesterday's step is taken again
    assert straight < 0.3 * np.mean((after - now) ** 2)


def test_without_drift_nothing_is_born_and_nothing_dies() -> None:
    still = RankingWorld("yelp", drift=0.0)
    assert all(np.array_equal(a, b) for a, b in zip(still.alive(0), still.alive(17), strict=True))


def above(oracle: Oracle, scores: np.ndarray, world: RankingWorld, day: int) -> float:
    """Mean share of the items of that day that score below the one that was taken."""
    users, items, _ = world.takes(day)
    places = [{int(name[1:]): at for at, name in enumerate(side)} for side in (oracle.users, oracle.items)]
    known = [
        (places[0][u], places[1][i]) for u, i in zip(users, items, strict=True) if u in places[0] and i in places[1]
    ]
    return float(np.mean([np.mean(scores[u] < scores[u, i]) for u, i in known]))


@pytest.mark.parametrize("world", [NEWS, PLACES])
def test_the_oracle_beats_popularity_and_what_it_was_before(world: RankingWorld) -> None:
    now = world.oracle(14)
    best = above(now, now.user_factors @ now.item_factors.T, world, 14)
    popular = above(now, np.ones((len(now.users), 1)) * now.item_factors[:, -1], world, 14)
    impersonal = above(now, now.user_factors.mean(0) @ now.item_factors.T * np.ones((len(now.users), 1)), world, 14)
    assert best > max(popular, impersonal) + 0.03


def test_what_was_known_goes_stale_with_the_news_and_not_with_places() -> None:
    lost = {}
    for world in (NEWS, PLACES):
        now, then = world.oracle(14), world.oracle(9)
        stale = above(then, then.user_factors @ then.item_factors.T, world, 14)
        lost[world.like] = above(now, now.user_factors @ now.item_factors.T, world, 14) - stale
    assert lost["adressa"] > 0.01
    assert lost["adressa"] > 3 * abs(lost["yelp"])


def test_impossible_options_and_columns_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"like is 'mars'.*size is 'huge'.*drift is 9.*start is 'soon'"):
        RankingWorld("mars", "huge", 9, "soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no column \['hour'\]; it has user_id, item_id, ts"):
        columns = COLUMNS.model_copy(update={"categorical": ("hour",)})
        NEWS.batches(None, Period(index=0, name="x", start=0, end=DAY), columns)
