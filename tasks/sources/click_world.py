"""The click worlds: impressions shaped like Criteo's or Avazu's, whose click probabilities are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from nightloop.tasks.lake.periods import HOUR, Period
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.simulation.days import DAY, days_of, midnight, refuse_options, refuse_unknown_columns
from nightloop.tasks.simulation.latent_world import Floats, Ints, moving_values, normal, uniform

USER, ITEM = 0, 1  # fields; all others belong, by turns, to the user, the item and the visit
SINGLE, PAIR, TRIPLE, NUMBER, BASE = 0.7, 1.1, 1.1, 0.5, 0.6  # standard deviations of the parts, in logits
MOVED = 0.6  # the part of a pair's or an item's effect that moves, as variance
LIFE = 20.0  # days an item is shown, about, in a world with drift 0.1; half as long in one twice as fast
SMALL = 12  # values at most of a field that takes part in pairs and triples, so that each has rows to be learned from


class WorldShape(NamedTuple):
    """Categorical fields, numeric columns, the largest vocabulary, impressions a day, days."""

    fields: int
    numeric: int
    values: int
    rows: int
    days: int


SHAPES = {  # published: 45,840,617 rows of 7 days (Criteo), 40,428,967 of 10 days by the hour (Avazu)
    ("criteo", "full"): WorldShape(26, 13, 2_000_000, 6_548_660, 7),
    ("avazu", "full"): WorldShape(22, 0, 4_000_000, 4_042_897, 10),
    ("criteo", "small"): WorldShape(26, 13, 3_000, 10_000, 14),
    ("avazu", "small"): WorldShape(22, 0, 3_000, 10_000, 14),
}
MOST = 100_000_000  # impressions a day, which is more than the published sets have in all
RATES = {"criteo": 0.25, "avazu": 0.17}


class Day(NamedTuple):
    """One day's impressions, by time."""

    values: Ints  # [n, fields]
    numbers: Floats  # [n, numeric], counts
    times: Ints  # [n] µs since 1970; Avazu's are whole hours
    known: Ints  # [n] µs since 1970: when the label has come back
    chance: Floats  # [n] the true probability of a click
    label: Ints  # [n]


@dataclass(frozen=True)
class ClickWorld:
    """Simulated impressions shaped like Criteo's or Avazu's, whose click probabilities are known.

    Fields belong to the user, to the item or to the visit, and their values follow Zipf's law. The logit of a click is
    a sum of effects of single values, of pairs and of triples of fields (no factorisation machine can express triples),
    of numeric columns, partly not monotone, and of a base rate that shifts. With `drift`, pairs, items and the base
    rate move, within a day as well, and items are replaced by new ones. Every day is a function of the options and its
    number, whatever was read before. The columns are C1 (the user), C2 (the item), C3, ..., I1, ..., ts, known and
    click.

    Parameters
    ----------
    like : {"criteo", "avazu"}, default "criteo"
        The data set whose shape the rows have: 26 fields and 13 numeric columns, or 22 fields. Avazu's times are whole
        hours.
    size : {"small", "full"}, default "small"
        "full": rows, days and vocabularies as published. "small": 14 days of 10,000 rows.
    drift : float, default 0.1
        1 / days over which effects stay alike, from 0 to 2. 0: nothing moves and no item is new.
    crosses : float, default 1.0
        Factor on the effects of pairs and triples, from 0 to 5. 0 leaves them out.
    delay : float, default 1.0
        Mean hours, from 0 to 1000, until a label comes back (exponential). The column `known` has the time.
    start : str, default "2026-01-01"
        The first day (UTC).
    seed : int, default 0
        Seed of the world.
    rows : int, default 0
        Impressions a day, up to 100,000,000. 0: as many as the size has; its fields, vocabulary and days stay.

    Raises
    ------
    PlanError
        An option is out of range. The message names every such option.

    Examples
    --------
    The clicks of a day, and the mean of the true probabilities.

    >>> from nightloop.tasks.sources.click_world import ClickWorld
    >>> world = ClickWorld(like="avazu", rows=2000)
    >>> day = world.day(0)
    >>> print(len(day.label), round(day.label.mean(), 2), round(day.chance.mean(), 2))
    2000 0.11 0.1
    """

    like: Literal["criteo", "avazu"] = "criteo"
    size: Literal["small", "full"] = "small"
    drift: float = 0.1
    crosses: float = 1.0
    delay: float = 1.0
    start: str = "2026-01-01"
    seed: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        """Raise PlanError with every option that is out of range, and what it may be."""
        refuse_options("the click world", self, {
            "like": tuple(RATES), "size": ("small", "full"), "drift": (0, 2), "crosses": (0, 5), "delay": (0, 1000),
            "seed": (0, 2**31), "rows": (0, MOST),
        })  # fmt: skip

    @property
    def shape(self) -> WorldShape:
        """Fields, numeric columns, vocabulary, rows and days."""
        shape = SHAPES[self.like, self.size]
        return shape._replace(rows=self.rows or shape.rows)

    @property
    def columns(self) -> Columns:
        """The roles of this source's columns, ready for a plan."""
        fields = [f"C{j + 1}" for j in range(self.shape.fields)]
        return Columns(
            user=fields[USER], item=fields[ITEM], time="ts", label="click", categorical=tuple(fields[2:]),
            numeric=tuple(f"I{k + 1}" for k in range(self.shape.numeric)), key=(),
        )  # fmt: skip

    def describe(self) -> str:
        """One line for people."""
        s = self.shape
        return (
            f"simulated clicks like {self.like}: {s.fields} fields, {s.numeric} numeric columns, {s.days} days of "
            f"{s.rows} impressions, drift {self.drift}, seed {self.seed}"
        )

    def batches(self, warehouse: object, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The impressions of one period, by time. Raises DataError if a column of the plan is not simulated."""
        simulated = self.columns
        names = [simulated.user, simulated.item, "ts", "known", "click", *simulated.categorical, *simulated.numeric]
        refuse_unknown_columns(f"the click world ({self.like})", names, columns)
        return self._between(period)

    def _between(self, period: Period) -> Iterator[pa.RecordBatch]:
        """Days from `start` to `end`; all of them if the lake cuts by equal counts."""
        columns = self.columns
        for number, begin, end in days_of(period, self.start, self.shape.days):
            day = self.day(number)
            window = slice(*np.searchsorted(day.times, [begin, end]).tolist())
            texts = {f"C{j + 1}": pa.array(day.values[window, j].astype(str).astype(object), pa.string())
                     for j in range(self.shape.fields)}  # fmt: skip
            numbers = {name: pa.array(day.numbers[window, k]) for k, name in enumerate(columns.numeric)}
            times = {name: pa.array(at[window], pa.timestamp("us", tz="UTC"))
                     for name, at in (("ts", day.times), ("known", day.known))}  # fmt: skip
            yield pa.RecordBatch.from_pydict(
                {**texts, **numbers, **times, "click": pa.array(day.label[window], pa.int8())}
            )

    def day(self, number: int) -> Day:
        """Day `number`, the same whatever was asked before."""
        random, rows = np.random.default_rng([self.seed, number, 11]), self.shape.rows
        time_of_day = np.sort(random.random(rows))
        time_of_day = np.floor(time_of_day * 24) / 24 if self.like == "avazu" else time_of_day
        days = number + time_of_day
        values = self._values(random, days)
        numbers = np.floor(np.exp(1.0 + 1.2 * random.normal(size=(rows, self.shape.numeric))))
        chance = 1.0 / (1.0 + np.exp(-self._logit(values, numbers, days)))
        label = (random.random(rows) < chance).astype(np.int64)
        times = midnight(self.start, number) + np.round(time_of_day * DAY).astype(np.int64)
        label_times = times + (self.delay * HOUR * random.exponential(size=rows)).astype(np.int64)
        return Day(values, numbers, times, label_times, chance, label)

    @property
    def sizes(self) -> Ints:
        """How many values each field has at any time: the user's, a tenth as many items, others from 3 upwards."""
        most = self.shape.values
        others = np.geomspace(3, most / 20, self.shape.fields - 2)
        return np.concatenate([[most, most // 10], others]).astype(np.int64)

    def _values(self, random: np.random.Generator, days: Floats) -> Ints:
        """A value of every field for each row [n, fields], by Zipf's law: rank r has a share of log(1 + 1/r), about."""
        sizes, n = self.sizes, len(days)
        user, shelf = (_zipf(random.random(n), int(sizes[j])) for j in (USER, ITEM))
        item = shelf + sizes[ITEM] * self._generation(shelf, days)
        columns = [user, item]
        for field in range(2, len(sizes)):
            luck = (lambda f: uniform(self.seed, 100 + f, user), lambda f: uniform(self.seed, 100 + f, item),
                    lambda f: random.random(n))[field % 3](field)  # fmt: skip
            columns.append(_zipf(luck, int(sizes[field])))
        return np.stack(columns, axis=1)

    def _generation(self, shelf: Ints, days: Floats) -> Ints:
        """How often the item in each place was replaced by then [n]; each place has its own pace."""
        life = LIFE * (0.5 + uniform(self.seed, 90, shelf))
        return np.floor(days * (self.drift / 0.1) / life + uniform(self.seed, 91, shelf)).astype(np.int64)

    def _logit(self, values: Ints, numbers: Floats, days: Floats) -> Floats:
        """The true logit of each row [n]."""
        seed, speed, fields = self.seed, days * self.drift, values.shape[1]
        total = np.zeros(len(values))
        for field in range(2, fields):
            total += SINGLE / np.sqrt(fields) * normal(seed, 200 + field, values[:, field])
        total += 0.5 * SINGLE * self._moving(240, speed, values[:, ITEM])
        pairs, triples = self.crossed
        for number, (f, g) in enumerate(pairs):
            effect = self._moving(250 + number, speed, values[:, f], values[:, g])
            total += self.crosses * PAIR / np.sqrt(len(pairs)) * effect
        for number, fgh in enumerate(triples):
            signs = np.prod(
                [np.sign(normal(seed, 300 + 3 * number + k, values[:, f])) for k, f in enumerate(fgh)], axis=0
            )
            total += self.crosses * TRIPLE / np.sqrt(len(triples)) * signs
        logs = np.log1p(numbers)
        for column in range(numbers.shape[1]):
            shape = np.cos(2.0 * logs[:, column]) if column % 2 else logs[:, column] - 1.4
            total += NUMBER / np.sqrt(numbers.shape[1]) * normal(seed, 400, np.full(1, column)) * shape
        return total + self._base + BASE * moving_values(seed, 401, 2.0 * speed) * (self.drift > 0)

    def _moving(self, stream: int, speed: Floats, *keys: Ints) -> Floats:
        """Effects of standard deviation 1 that stay in part and move in part."""
        stays = normal(self.seed, stream, *keys)
        if self.drift == 0:
            return stays
        return np.asarray(
            np.sqrt(1 - MOVED) * stays + np.sqrt(MOVED) * moving_values(self.seed, stream + 500, speed, *keys)
        )

    @property
    def crossed(self) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
        """The fields that make pairs and triples: small ones, of user, item and visit."""
        small = [f for f in range(2, self.shape.fields) if self.sizes[f] <= SMALL]
        return list(pairwise(small)), list(zip(small, small[1:], small[2:], strict=False))

    @property
    def _base(self) -> float:
        """Logit that gives the base rate over logits of this spread (MacKay 1992, the probit trick)."""
        click_rate, spread = RATES[self.like], SINGLE**2 + self.crosses**2 * (PAIR**2 + TRIPLE**2) + BASE**2
        return float(np.log(click_rate / (1 - click_rate)) * np.sqrt(1 + np.pi * spread / 8))


def _zipf(luck: Floats, size: int) -> Ints:
    """Values from 0 to size - 1 of numbers in (0, 1), 0 the most frequent."""
    return np.asarray(np.minimum(np.exp(luck * np.log(size + 1)).astype(np.int64) - 1, size - 1))
