"""The ranking worlds: interactions in a world like Adressa's (news) or Yelp's (places)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.simulation.days import (
    DAY,
    TAKEN,
    midnight,
    oracle_of,
    refuse_options,
    refuse_unknown_columns,
    taken_rows,
)
from nightloop.tasks.simulation.latent_world import Floats, Ints, Oracle, moving_values, normal, uniform

PART = 1 << 20  # pairs of user and item that are weighed at once
TASTES = 8  # latent dimensions
STRENGTH = 2.2  # standard deviation of a user's affinity to items, in logits
LATE = 0.7  # log of how much less an item is shown on its first day, of which on average half has passed
APPEAL, ACTIVITY = 1.0, 0.8  # standard deviations of items' appeal and users' activity, in logs


class Pace(NamedTuple):
    """How fast a world changes. Lives are in days; `drift` is 1 / days over which interests stay alike."""

    drift: float
    shared: float  # part of what a user likes that all like just now, as variance
    moved: float  # part that is the user's own and moves; the rest is the user's own and stays
    user_life: float
    item_life: float
    freshness: float  # days over which a new item's appeal falls by a factor e; inf: it does not
    head_start: float  # share of users and items that is there on day 0
    once: bool  # every user goes through all items in an order of their own, a part a day, and takes none twice


PACES = {
    "adressa": Pace(0.20, 0.30, 0.45, 15.0, 8.0, 2.5, 0.10, False),
    "yelp": Pace(0.05, 0.10, 0.35, 1e9, 1e9, np.inf, 0.60, True),
}
# users, items, takes a day, days: in the paper (its section 5.1), and a size that a processor replays in a minute
SIZES = {
    ("adressa", "paper"): (478_612, 20_875, 58_162, 63),
    ("yelp", "paper"): (59_082, 122_816, 75_361, 40),
    ("adressa", "small"): (3_000, 900, 2_000, 18),
    ("yelp", "small"): (600, 900, 2_000, 18),
}


@dataclass(frozen=True)
class RankingWorld:
    """Simulated interactions in a world like Adressa's (news, gone in days) or Yelp's (places, liked for years).

    One day is one period of the SML paper. Users and items arrive and leave. Interests move smoothly, so that a day
    continues the movement of the day before (`nightloop.tasks.simulation.latent_world.moving_values`); part of the movement is
    common to all users. A visitor is offered items in proportion to their appeal and takes those that suit best. Every
    day is a function of the options and its number, whatever was read before. The columns are user_id, item_id and ts.

    Parameters
    ----------
    like : {"adressa", "yelp"}, default "adressa"
        The data set that the world resembles.
    size : {"small", "paper"}, default "small"
        "paper": users, items, rows and days of section 5.1 of the paper. "small": 18 days of about 2,000 rows, which a
        processor replays in a minute.
    drift : float, optional
        1 / days over which interests stay alike, from 0 to 2. If it is not given: 0.2 for Adressa, 0.05 for Yelp. 0:
        nothing moves, arrives or leaves.
    start : str, default "2026-01-01"
        The first day (UTC).
    seed : int, default 0
        Seed of the world.

    Raises
    ------
    PlanError
        An option is out of range. The message names every such option.

    References
    ----------
    Zhang et al. 2020, How to retrain recommender system? A sequential meta-learning method.

    Examples
    --------
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.plan.plan import Calendar, Columns
    >>> from nightloop.tasks.sources.ranking_world import RankingWorld
    >>> columns = Columns(user="user_id", item="item_id", time="ts")
    >>> [day] = RankingWorld("adressa").batches(None, period(Calendar(start="2026-01-01"), 3), columns)
    >>> print(day.num_rows, len(day.column("user_id").unique()), len(day.column("item_id").unique()))
    2027 568 157
    """

    like: Literal["adressa", "yelp"] = "adressa"
    size: Literal["small", "paper"] = "small"
    drift: float | None = None
    start: str = "2026-01-01"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise PlanError with every option that is out of range, and what it may be."""
        refuse_options("the ranking world", self, {
            "like": tuple(PACES), "size": ("small", "paper"), "drift": (0, 2), "seed": (0, 2**31),
        })  # fmt: skip

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Users and items that ever arrive, rows a day, and days."""
        return SIZES[self.like, self.size]

    @property
    def pace(self) -> Pace:
        """How fast this world changes; without drift nothing changes."""
        pace = PACES[self.like]
        if self.drift is None:
            return pace
        if self.drift > 0:
            return pace._replace(drift=self.drift)
        return pace._replace(drift=0.0, user_life=1e9, item_life=1e9, freshness=np.inf, head_start=1.0)

    def describe(self) -> str:
        """One line for people."""
        users, items, rows, days = self.shape
        return (
            f"a simulated world like {self.like}: {users} users x {items} items x {days} days of about {rows} takes, "
            f"drift {self.pace.drift}, seed {self.seed}"
        )

    def batches(self, warehouse: object, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The rows of one period, in order of time. Raises DataError if a column of the plan is not simulated."""
        refuse_unknown_columns("the ranking world", TAKEN, columns)
        return taken_rows(period, self.start, self.shape[3], self.takes)

    def takes(self, number: int) -> tuple[Ints, Ints, Ints]:
        """Day `number`: user and item numbers and µs since 1970, [n] each, by time; no pair is repeated."""
        random = np.random.default_rng([self.seed, number, 7])
        rows = round(self.shape[2] * (1.0 + 0.05 * random.normal()))
        users, items = self.alive(number)
        crowd = np.cumsum(np.exp(ACTIVITY * normal(self.seed, 44, users)))
        visits = np.bincount(np.searchsorted(crowd, random.random(rows) * crowd[-1]), minlength=len(users))
        users, visits = users[visits > 0], visits[visits > 0]
        size = max(1, PART // self._offer_items(users[:1], items, number).shape[1])
        parts = [slice(first, first + size) for first in range(0, len(users), size)]
        pairs = np.concatenate([self._choose_items(users[p], visits[p], items, number, random) for p in parts], axis=1)
        users_taking, items_taken = pairs[:, random.permutation(pairs.shape[1])]
        times = np.sort(random.choice(DAY // 1000, len(users_taking), replace=False)) * 1000
        return users_taking, items_taken, midnight(self.start, number) + times

    def _choose_items(self, users: Ints, visits: Ints, items: Ints, number: int, random: np.random.Generator) -> Ints:
        """Pairs [2, n]: of what each user is offered the best `visits`, by appeal, affinity and chance, none twice."""
        offered = self._offer_items(users, items, number)
        shown = np.full(int(offered.max()) + 1, -np.inf)
        on_offer = items[items < len(shown)]
        shown[on_offer] = self._appeal(on_offer, number)
        liked = np.einsum("uk,uck->uc", self.tastes_of(users, number), self._traits[offered], optimize=True)
        worth = shown[offered] + liked - np.log(-np.log(random.random(offered.shape)))
        order = np.argsort(-worth, axis=1)
        taken = np.take_along_axis(worth, order, 1) > -np.inf
        taken &= np.arange(order.shape[1]) < visits[:, None]
        return np.stack([np.repeat(users, taken.sum(1)), np.take_along_axis(offered, order, 1)[taken]])

    def _offer_items(self, users: Ints, items: Ints, number: int) -> Ints:
        """Numbers of what each user may take today [n, c], also of items that are not there yet or any more.

        A user's order of all items is a + b v modulo a prime: all users' orders differ, and none has to be stored.
        """
        if not self.pace.once:
            return np.broadcast_to(items, (len(users), len(items)))
        prime = _prime(self.shape[1])
        first, step = ((uniform(self.seed, 50 + j, users) * (prime - j)).astype(np.int64) + j for j in (0, 1))
        today = np.arange(number * prime // self.shape[3], (number + 1) * prime // self.shape[3])
        return np.asarray((first[:, None] + step[:, None] * today) % prime)

    def alive(self, number: int) -> tuple[Ints, Ints]:
        """Numbers of the users and of the items that are here on day `number`, ascending."""
        alive_numbers = []
        for kind, (many, life) in enumerate(
            zip(self.shape[:2], (self.pace.user_life, self.pace.item_life), strict=True)
        ):
            who = np.arange(many, dtype=np.int64)
            born = self._arrival_days(kind, many)
            span = life * (0.5 + uniform(self.seed, 40 + kind, who))  # half to one and a half mean lives
            alive_numbers.append(who[(born <= number) & (number < born + span)])
        return alive_numbers[0], alive_numbers[1]

    def _arrival_days(self, kind: int, many: int) -> Floats:
        """The day each number arrives: a share before day 0, some time ago, the others evenly over all days."""
        early = round(self.pace.head_start * many)
        life = (self.pace.user_life, self.pace.item_life)[kind]
        age = min(life, self.shape[3]) * uniform(self.seed, 42 + kind, np.arange(early, dtype=np.int64))
        late = np.ceil(np.arange(1, many - early + 1) * (self.shape[3] - 1) / max(many - early, 1))
        return np.concatenate([-age, late])

    def _appeal(self, items: Ints, number: int) -> Floats:
        """Log of how often each item alive on a day is shown."""
        age = number - self._arrival_days(1, self.shape[1])[items]
        late = LATE * (age == 0)
        return np.asarray(APPEAL * normal(self.seed, 45, items) - age / self.pace.freshness - late)

    def tastes_of(self, users: Ints, number: int) -> Floats:
        """What users like on a day [n, TASTES]: shared and moving, their own and moving, their own and staying."""
        axis, day = np.arange(TASTES, dtype=np.int64), np.full((1, 1), number * self.pace.drift)
        shared = moving_values(self.seed, 46, day, axis[None])
        own_moving = moving_values(self.seed, 47, day, users[:, None], axis)
        stays = normal(self.seed, 48, users[:, None], axis)
        parts = np.sqrt([self.pace.shared, self.pace.moved, 1.0 - self.pace.shared - self.pace.moved])
        return np.asarray((parts[0] * shared + parts[1] * own_moving + parts[2] * stays) / np.sqrt(TASTES))

    def traits_of(self, items: Ints) -> Floats:
        """What items are [n, TASTES], constant: affinity to a user is the dot product with the user's tastes."""
        return np.asarray(STRENGTH * normal(self.seed, 49, items[:, None], np.arange(TASTES, dtype=np.int64)))

    @cached_property
    def _traits(self) -> Floats:
        """The traits of all items, and of the unused numbers up to the next prime."""
        return self.traits_of(np.arange(_prime(self.shape[1]), dtype=np.int64))

    def oracle(self, number: int) -> Oracle:
        """Scores that use the true world on day `number`: affinity plus appeal."""
        users, items = self.alive(number)
        tastes, traits = self.tastes_of(users, number), self.traits_of(items)
        return oracle_of(users, items, tastes, traits, self._appeal(items, number))


def _prime(least: int) -> int:
    """The smallest prime that is not below `least`."""
    return next(n for n in count(max(least, 2)) if all(n % k for k in range(2, int(n**0.5) + 1)))
