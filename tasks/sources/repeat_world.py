"""The repeat world: purchases of which nearly half are one of the user's few favourites, taken again and again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.simulation.days import DAY, TAKEN, midnight, refuse_options, refuse_unknown_columns, taken_rows
from nightloop.tasks.simulation.latent_world import Floats, Ints

USERS, ITEMS, ROWS, DAYS = 3_000, 1_500, 5_000, 30
FAVOURITES = 8  # items of a user
CLUSTERS = 15  # each with 100 items of its own
OWN, SHARED = 0.45, 0.20  # chance that a row is a favourite, or an item of the user's cluster; else it is by popularity
WALK = 0.15  # standard deviation of a day's step of the log popularity


@dataclass(frozen=True)
class RepeatWorld:
    """Simulated purchases: 3,000 users, 1,500 items, 5,000 rows a day for 30 days.

    Each row is of a user drawn uniformly. With a chance of 45 % it is one of the user's 8 favourites, with 20 % one of
    the 100 items of the user's cluster, both drawn uniformly, and with 35 % an item drawn by popularity. The log of the
    popularity begins as a standard normal number and is a random walk with steps of 0.15 a day. Every day is a function
    of the seed and its number, whatever was read before. The columns are user_id, item_id and ts. It is made for
    comparisons and has no other options: plans for it say `ranking: {repeats: true}`.

    Parameters
    ----------
    start : str, default "2026-01-01"
        The first day (UTC).
    seed : int, default 0
        Seed of the world.

    Raises
    ------
    PlanError
        An option is out of range. The message names every such option.

    Examples
    --------
    Rows of a day, and how many of them are a favourite of their user.

    >>> from nightloop.tasks.sources.repeat_world import RepeatWorld
    >>> world = RepeatWorld()
    >>> users, items, _ = world.purchases(3)
    >>> print(len(users), (world.favourites[users] == items[:, None]).any(1).mean().round(2))
    5000 0.44
    """

    start: str = "2026-01-01"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise PlanError with every option that is out of range, and what it may be."""
        refuse_options("the repeat world", self, {"seed": (0, 2**31)})

    @cached_property
    def favourites(self) -> Ints:
        """Each user's favourites [USERS, FAVOURITES], without repeats."""
        random = np.random.default_rng([self.seed, 1])
        return np.argsort(random.random((USERS, ITEMS)), axis=1)[:, :FAVOURITES].astype(np.int64)

    @cached_property
    def clusters(self) -> tuple[Ints, Ints]:
        """The cluster of each user [USERS], and the items of each cluster [CLUSTERS, ITEMS / CLUSTERS]."""
        random = np.random.default_rng([self.seed, 2])
        items = random.permutation(ITEMS).reshape(CLUSTERS, -1).astype(np.int64)
        return random.integers(CLUSTERS, size=USERS), items

    @cached_property
    def popularity(self) -> Floats:
        """The chance of each item among the rows by popularity, day by day [DAYS, ITEMS]."""
        random = np.random.default_rng([self.seed, 3])
        steps = random.normal(size=(DAYS, ITEMS)) * np.where(np.arange(DAYS) > 0, WALK, 1.0)[:, None]
        weight = np.exp(np.cumsum(steps, axis=0))
        return np.asarray(weight / weight.sum(1, keepdims=True))

    def describe(self) -> str:
        """One line for people."""
        return f"a simulated world of repeated purchases: {USERS} users x {ITEMS} items x {DAYS} days of {ROWS} rows, seed {self.seed}"

    def batches(self, warehouse: object, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The rows of one period, in order of time. Raises DataError if a column of the plan is not simulated."""
        refuse_unknown_columns("the repeat world", TAKEN, columns)
        return taken_rows(period, self.start, DAYS, self.purchases)

    def purchases(self, number: int) -> tuple[Ints, Ints, Ints]:
        """Day `number`: user and item numbers and µs since 1970, [ROWS] each, in order of time."""
        random = np.random.default_rng([self.seed, 4, number])
        users, kind = random.integers(USERS, size=ROWS), random.random(ROWS)
        cluster_of, items_of = self.clusters
        own = self.favourites[users, random.integers(FAVOURITES, size=ROWS)]
        shared = items_of[cluster_of[users], random.integers(items_of.shape[1], size=ROWS)]
        popular = random.choice(ITEMS, size=ROWS, p=self.popularity[number])
        items = np.where(kind < OWN, own, np.where(kind < OWN + SHARED, shared, popular))
        times = np.sort(random.choice(DAY // 1000, ROWS, replace=False)) * 1000
        return users, items, midnight(self.start, number) + times

    def chances(self, number: int) -> Floats:
        """The true chance of each item for a row of each user on day `number`: [USERS, ITEMS]. Nothing ranks better."""
        cluster_of, items_of = self.clusters
        chance = np.tile((1.0 - OWN - SHARED) * self.popularity[number], (USERS, 1))
        user = np.arange(USERS)[:, None]
        chance[user, self.favourites] += OWN / FAVOURITES
        chance[user, items_of[cluster_of]] += SHARED / items_of.shape[1]
        return chance
