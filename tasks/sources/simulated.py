"""Simulated: logs of a seeded world with known drift, and the best score that is possible on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Literal

import numpy as np
import pyarrow as pa

from nightloop.tasks.formats.select_files import midnight_of
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.simulation.days import (
    DAY,
    days_of,
    id_texts,
    midnight,
    oracle_of,
    refuse_options,
    refuse_unknown_columns,
)
from nightloop.tasks.simulation.latent_world import CATEGORIES, Floats, Ints, LatentWorld, Oracle

DEVICES = ("phone", "desktop", "tablet")
HOURS = np.array([3, 2, 1, 1, 1, 2, 4, 7, 8, 7, 6, 7, 8, 7, 6, 6, 7, 8, 10, 12, 13, 12, 9, 5], dtype=float)
SLATE = 40  # items a visitor sees before one is clicked
PAGE = 10  # positions of an impression
MOST = {"users": 10**7, "items": 10**7, "rows": 10**8, "days": 36_500}
BIAS = 0.7  # position bias: the chance to look at position r is (1 + r) ** -BIAS


@dataclass(frozen=True)
class Simulated:
    """Logs of a seeded world with known drift, and the best score that is possible on them.

    Rows are either clicks (every row is a positive: a ranking task) or impressions with `clicked`, 0 or 1. A visitor is
    shown items in proportion to their appeal; lower positions are looked at less (position bias). What is clicked
    depends on the visitor's interests, the hour and the position. Every day is a function of the options and its
    number, whatever was read before.

    Parameters
    ----------
    users : int, default 1000
        Users that are there at any time.
    items : int, default 800
        Items that are there at any time.
    rows : int, default 6000
        Rows a day, on average.
    days : int, default 365
        Days that there are, from `start`.
    kind : {"clicks", "impressions"}, default "clicks"
        "clicks": for ranking models. "impressions": for click models.
    start : str, default "2026-01-01"
        The first day (UTC).
    drift : float, default 0.08
        1 / days over which interests stay alike, from 0 to 2. 0: nothing moves.
    user_life : float, default 60.0
        Mean days that a user is there, from 2. Then a new one takes the place.
    item_life : float, default 20.0
        Mean days that an item is there, from 2. Then a new one takes the place.
    weekly : float, default 0.12
        How much busier than the mean the busiest weekday is, from 0 to 0.9.
    base_rate : float, default 0.15
        Share of impressions that are clicked, about, from 0.001 to 0.9.
    seed : int, default 0
        Seed of the world.

    Raises
    ------
    PlanError
        An option is out of range. The message names every such option.

    References
    ----------
    Joachims et al. 2005, Accurately interpreting clickthrough data as implicit feedback (position bias).

    Examples
    --------
    A Thursday with fewer rows than the mean of 200.

    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.plan.plan import Calendar
    >>> from nightloop.tasks.sources.simulated import Simulated
    >>> world = Simulated(users=100, items=80, rows=200, kind="impressions")
    >>> [day] = world.batches(None, period(Calendar(start="2026-01-01"), 0), world.columns)
    >>> print(day.num_rows, day.column("user_id")[0], day.column("clicked").to_numpy().mean().round(2))
    188 u33 0.15
    """

    users: int = 1000
    items: int = 800
    rows: int = 6000
    days: int = 365
    kind: Literal["clicks", "impressions"] = "clicks"
    start: str = "2026-01-01"
    drift: float = 0.08
    user_life: float = 60.0
    item_life: float = 20.0
    weekly: float = 0.12
    base_rate: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise PlanError with every option that is out of range, and what it may be."""
        refuse_options("the simulated source", self, {
            **{name: (1, most) for name, most in MOST.items()}, "user_life": (2, inf), "item_life": (2, inf),
            "drift": (0, 2), "weekly": (0, 0.9), "base_rate": (0.001, 0.9), "seed": (0, 2**31),
            "kind": ("clicks", "impressions"),
        })  # fmt: skip

    @property
    def world(self) -> LatentWorld:
        """The world behind the rows."""
        return LatentWorld(self.users, self.items, self.drift, self.user_life, self.item_life, self.seed)

    @property
    def columns(self) -> Columns:
        """The roles of this source's columns, ready for a plan."""
        label = None if self.kind == "clicks" else "clicked"
        return Columns(
            user="user_id",
            item="item_id",
            time="ts",
            label=label,
            categorical=("category", "device", "hour"),
            numeric=("price",),
            key=(),
        )

    def describe(self) -> str:
        """One line for people."""
        return (
            f"simulated {self.kind}: {self.users} users, {self.items} items, about {self.rows} rows a day "
            f"from {self.start}, drift {self.drift}, seed {self.seed}"
        )

    def batches(self, warehouse: object, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The rows of one period, in order of time. Raises DataError if a column of the plan is not simulated."""
        names = self.day(0).schema.names
        refuse_unknown_columns(f"the simulated source ({self.kind})", names, columns)
        return self._between(period)

    def _between(self, period: Period) -> Iterator[pa.RecordBatch]:
        """Rows from `start` to `end`; all rows if the lake cuts by equal counts."""
        for number, begin, end in days_of(period, self.start, self.days):
            batch = self.day(number)
            low, high = np.searchsorted(batch.column("ts").cast(pa.int64()).to_numpy(), [begin, end])
            yield batch.slice(int(low), int(high - low))

    def volume(self, number: int) -> int:
        """Rows of day `number`: weekends are busier, and weeks differ a little."""
        weekday = (date.fromisoformat(self.start).toordinal() + number - 1) % 7
        luck = np.random.default_rng([self.seed, number, 1]).normal()
        season = self.weekly * np.cos(2.0 * np.pi * (weekday - 5.5) / 7.0)
        return max(1, round(self.rows * (1.0 + float(season) + 0.02 * luck)))

    def day(self, number: int) -> pa.RecordBatch:
        """All rows of day `number`, ordered by time. The same whatever was asked before."""
        random = np.random.default_rng([self.seed, number, 2])
        times = self._times(number, random)
        world, hour = self.world, (times % DAY) / (DAY / 24)
        users, _ = world.alive("user", number)
        activity = np.cumsum(np.exp(0.8 * np.sin(users * 12.9898 + self.seed)))
        who = users[np.searchsorted(activity, random.random(len(times)) * activity[-1])]
        item, position, clicked = self._choose(number, who, hour, random)
        return self._batch(times, who, item, position, clicked, hour)

    def _times(self, number: int, random: np.random.Generator) -> Ints:
        """Sorted instants: a day with a morning and a larger evening; no two rows share one."""
        edges = np.concatenate([[0.0], np.cumsum(HOURS / HOURS.sum())])
        within = np.interp(random.random(self.volume(number)), edges, np.arange(25) / 24.0)
        spread = np.sort((within * (DAY - 10_000_000)).astype(np.int64))
        return np.asarray(midnight(self.start, number) + spread + np.arange(len(spread)))

    def _choose(self, number: int, who: Ints, hour: Floats, random: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        """The item, its position and whether it was clicked, for each visit."""
        world = self.world
        alive, age = world.alive("item", number)
        appeal = world.appeal_of(alive, age, np.full(1, float(number)))
        shown = np.cumsum(np.exp(appeal - appeal.max()))
        width = SLATE if self.kind == "clicks" else 1
        slate = np.searchsorted(shown, random.random((len(who), width)) * shown[-1])
        visitors, back = np.unique(who, return_inverse=True)
        tastes = world.tastes_of(visitors, np.full(len(visitors), float(number)))[back]
        logits = np.einsum("nk,nsk->ns", tastes, world.traits_of(alive)[slate])
        logits += world.habit_of(alive[slate], hour[:, None])
        if self.kind == "impressions":
            position = random.integers(0, PAGE, len(who))
            chance = _sigmoid(logits[:, 0] + self._intercept) * (1.0 + position) ** -BIAS
            return alive[slate[:, 0]], position, (random.random(len(who)) < chance).astype(np.int64)
        logits -= BIAS * np.log1p(np.arange(width)) + np.log(-np.log(random.random(logits.shape)))
        best = np.argmax(logits, axis=1)
        return alive[slate[np.arange(len(who)), best]], best, np.ones(len(who), dtype=np.int64)

    @property
    def _intercept(self) -> float:
        """Logit that gives the base rate over affinities of standard deviation s (MacKay 1992, the probit trick)."""
        click_rate = min(0.95, self.base_rate / float(np.mean((1.0 + np.arange(PAGE)) ** -BIAS)))
        return float(np.log(click_rate / (1.0 - click_rate)) * np.sqrt(1.0 + np.pi * self.world.strength**2 / 8.0))

    def _batch(self, times: Ints, who: Ints, item: Ints, position: Ints, clicked: Ints, hour: Floats) -> pa.RecordBatch:
        """The rows as a user's log file would have them."""
        world = self.world
        device = np.where((who * 7 + hour.astype(np.int64) // 8) % 10 < 6, 0, 1 + who % 2)
        columns: dict[str, pa.Array] = {
            "user_id": id_texts("u", who),
            "item_id": id_texts("i", item),
            "ts": pa.array(times, pa.timestamp("us", tz="UTC")),
            "category": pa.array(np.array(CATEGORIES, dtype=object)[world.category_of(item)], pa.string()),
            "device": pa.array(np.array(DEVICES, dtype=object)[device], pa.string()),
            "hour": pa.array(hour.astype(np.int64).astype(str).astype(object), pa.string()),
            "price": pa.array(world.price_of(item)),
        }
        if self.kind == "impressions":
            columns |= {"position": pa.array(position, pa.int32()), "clicked": pa.array(clicked, pa.int8())}
        return pa.RecordBatch.from_pydict(columns)

    def oracle(self, number: int) -> Oracle:
        """Scores that use the true world on day `number`: affinity, and for clicks also how often items are shown."""
        world = self.world
        users, _ = world.alive("user", number)
        items, age = world.alive("item", number)
        tastes = world.tastes_of(users, np.full(len(users), float(number)))
        appeal = world.appeal_of(items, age, np.full(1, float(number))) if self.kind == "clicks" else 0.0 * age
        return oracle_of(users, items, tastes, world.traits_of(items), appeal)

    def probability(self, users: list[str], items: list[str], instants: Ints) -> Floats:
        """True chance of a click for each impression [n] of (user, item, µs since 1970), mean over positions."""
        user_numbers, item_numbers = (
            np.array([int(name[1:]) for name in names], dtype=np.int64) for names in (users, items)
        )
        number = ((instants - midnight_of(self.start)) // DAY).astype(np.float64)
        affinity = np.sum(self.world.tastes_of(user_numbers, number) * self.world.traits_of(item_numbers), axis=1)
        habit = self.world.habit_of(item_numbers, (instants % DAY) / (DAY / 24))
        look = float(np.mean((1.0 + np.arange(PAGE)) ** -BIAS))
        return np.asarray(_sigmoid(affinity + habit + self._intercept) * look)


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
