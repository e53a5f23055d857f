"""The simulated world: the same from any process and in any order, alive, and one in which standing still loses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.simulation.days import midnight
from nightloop.tasks.simulation.deliver import deliver
from nightloop.tasks.simulation.latent_world import moving_values, normal, uniform
from nightloop.tasks.sources.simulated import DAY, Simulated

WORLD = Simulated(users=200, items=150, rows=1500, seed=3)


def ids(batch: pa.RecordBatch, column: str) -> list[str]:
    values: list[str] = batch.column(column).to_pylist()
    return values


def test_a_day_is_the_same_whatever_was_asked_before() -> None:
    first = WORLD.day(7)
    for number in (3, 0, 12):
        WORLD.day(number)
    assert WORLD.day(7).equals(first)
    assert not Simulated(users=200, items=150, rows=1500, seed=4).day(7).equals(first)


def test_a_day_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib, pyarrow as pa; from nightloop.tasks.sources.simulated import Simulated;"
        "b = Simulated(users=200, items=150, rows=1500, seed=3).day(7);"
        "print(hashlib.sha256(repr(b.to_pylist()).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_hash_noise_is_uniform_normal_and_moves_smoothly() -> None:
    who = np.arange(20_000)
    u, z = uniform(1, 1, who), normal(1, 50, who)
    assert u.min() > 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.01
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.03
    today, soon, late = (moving_values(1, 60, np.full(1, day), who) for day in (10.0, 10.1, 14.0))
    assert abs(today.std() - 1) < 0.03
    assert np.corrcoef(today, soon)[0, 1] > 0.98 and abs(np.corrcoef(today, late)[0, 1]) < 0.1


def test_rows_of_a_period_are_those_of_its_time_in_order() -> None:
    start = midnight(WORLD.start, 2) + DAY // 2
    period = Period(index=5, name="x", start=start, end=start + DAY)
    table = pa.Table.from_batches(WORLD.batches(None, period, WORLD.columns))
    times = table.column("ts").cast(pa.int64()).to_numpy()
    assert times.min() >= start and times.max() < start + DAY
    assert (np.diff(times) > 0).all()
    whole = pa.Table.from_batches([WORLD.day(2), WORLD.day(3)]).column("ts").cast(pa.int64()).to_numpy()
    assert len(times) == ((whole >= start) & (whole < start + DAY)).sum()


def test_after_its_last_day_nothing_happens() -> None:
    world = Simulated(users=20, items=20, rows=10, days=3)
    late = Period(index=3, name="x", start=midnight(world.start, 3), end=midnight(world.start, 4))
    assert list(world.batches(None, late, world.columns)) == []


def test_users_and_items_come_and_go() -> None:
    first, later = WORLD.day(0), WORLD.day(40)
    assert set(ids(later, "item_id")) - set(ids(first, "item_id"))
    assert set(ids(later, "user_id")) - set(ids(first, "user_id"))
    gone = set(ids(first, "item_id")) - {i for day in range(35, 45) for i in ids(WORLD.day(day), "item_id")}
    assert len(gone) > 20
    frozen = Simulated(users=50, items=50, rows=500, user_life=1e9, item_life=1e9)
    assert set(frozen.oracle(0).items) == set(frozen.oracle(50).items)


def test_volume_has_a_week_and_a_day() -> None:
    world = Simulated(rows=6000)
    volumes = [world.volume(day) for day in range(28)]
    assert max(volumes) / min(volumes) > 1.15
    assert np.corrcoef(volumes[:14], volumes[14:])[0, 1] > 0.8
    hours = np.array([int(hour) for hour in ids(world.day(1), "hour")])
    assert (hours == 20).sum() > 5 * (hours == 4).sum()


def test_impressions_have_the_base_rate_and_a_position_bias() -> None:
    world = Simulated(kind="impressions", rows=20_000, base_rate=0.15)
    batch = world.day(4)
    clicked, position = batch.column("clicked").to_numpy(), batch.column("position").to_numpy()
    assert 0.12 < clicked.mean() < 0.18
    assert clicked[position == 0].mean() > 2 * clicked[position == 9].mean()


def test_true_chances_are_calibrated_and_rank_clicks() -> None:
    world = Simulated(kind="impressions", rows=20_000)
    batch = world.day(4)
    times = batch.column("ts").cast(pa.int64()).to_numpy()
    chance = world.probability(ids(batch, "user_id"), ids(batch, "item_id"), times)
    clicked = batch.column("clicked").to_numpy()
    assert abs(chance.mean() / clicked.mean() - 1) < 0.1
    high = chance > np.median(chance)
    assert clicked[high].mean() > 2 * clicked[~high].mean()


def above(scores: np.ndarray, batch: pa.RecordBatch, world: Simulated, day: int) -> float:
    """Mean share of living items that score below the item that was clicked."""
    oracle = world.oracle(day)
    users, items = ({name: n for n, name in enumerate(side)} for side in (oracle.users, oracle.items))
    u, i = [users[x] for x in ids(batch, "user_id")], [items[x] for x in ids(batch, "item_id")]
    return float(np.mean(scores[u] < scores[u, i][:, None]))


def test_the_oracle_beats_popularity_and_yesterdays_oracle_is_worse() -> None:
    world, day = Simulated(users=300, items=200, rows=3000, user_life=1e9, item_life=1e9, drift=0.1), 30
    batch, now, then = world.day(day), world.oracle(day), world.oracle(day - 15)
    best = above(now.user_factors @ now.item_factors.T, batch, world, day)
    stale = above(then.user_factors @ then.item_factors.T, batch, world, day)
    popular = above(np.ones((300, 1)) * now.item_factors[:, -1], batch, world, day)
    assert best > stale + 0.05
    assert best > popular + 0.05


def test_every_impossible_option_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"users is 0.*drift is 9.*kind is 'views'.*start is 'soon'"):
        Simulated(users=0, drift=9, kind="views", start="soon")  # type: ignore[arg-type]


def test_a_column_that_is_not_simulated_is_refused_with_those_that_are() -> None:
    columns = WORLD.columns.model_copy(update={"label": "clicked"})
    with pytest.raises(ValueError, match=r"no column \['clicked'\]; it has user_id"):
        WORLD.batches(None, Period(index=0, name="x", start=0, end=DAY), columns)


def test_a_bad_delivery_is_replaced_by_a_good_one(tmp_path: Path) -> None:
    path = deliver(WORLD, tmp_path / "in", 8, bad=True)
    bad = pq.read_table(path)
    assert path.name == "2026-01-09.parquet"
    assert bad.column("item_id").null_count > bad.num_rows / 4
    assert deliver(WORLD, tmp_path / "in", 8, bad=False) == path
    assert pq.read_table(path).equals(pa.Table.from_batches([WORLD.day(8)]))
    assert [p.name for p in (tmp_path / "in").iterdir()] == [path.name]
