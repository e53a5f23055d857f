"""A latent-factor world: simulated users and items with interests that move from day to day.

Nothing here is a history. Every latent value is a closed form of (seed, who, day), so any day can be asked for alone,
in any order and in any process, and is the same. Random draws come from a counter hash (splitmix64, Steele et al.
2014); smooth movement is a Gaussian process made of random cosines (Rahimi and Recht 2007, section 3): values `d` days
apart correlate as exp(-(speed * d)^2 / 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COSINES = 6  # waves in each moving value: enough for a bell-shaped marginal
CATEGORIES = ("news", "sport", "film", "music", "food", "travel", "games", "books", "home", "tech", "art", "kids")
SCALE = 1.0 / 2**53


def uniform(seed: int, stream: int, *keys: Ints) -> Floats:
    """One number in (0, 1) for each broadcast combination of keys, independent between streams."""
    shape = np.broadcast_shapes(*(np.shape(key) for key in keys))
    with np.errstate(over="ignore"):
        state = _mix(np.full(shape, seed, dtype=np.uint64) + _mix(np.full(shape, stream + 1, dtype=np.uint64)))
        for key in keys:
            state = _mix(state ^ _mix(np.asarray(key, dtype=np.int64).astype(np.uint64)))
    return np.asarray(((state >> np.uint64(11)).astype(np.float64) + 0.5) * SCALE)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def normal(seed: int, stream: int, *keys: Ints) -> Floats:
    """One standard normal number for each combination of keys (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(uniform(seed, 2 * stream, *keys)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(seed, 2 * stream + 1, *keys)))


def moving_values(seed: int, stream: int, days: Floats, *keys: Ints) -> Floats:
    """Standard normal values that move smoothly; `days` is the day times the speed, broadcast with the keys."""
    total = np.zeros(np.broadcast_shapes(np.shape(days), *(np.shape(key) for key in keys)))
    for wave in range(COSINES):
        mark = np.full(1, wave, dtype=np.int64)
        speed = normal(seed, stream, *keys, mark)
        phase = 2.0 * np.pi * uniform(seed, 2 * stream + 64, *keys, mark)
        total += np.cos(speed * days + phase)
    return np.asarray(total * np.sqrt(2.0 / COSINES))


@dataclass(frozen=True)
class Oracle:
    """The true factors of one day: their dot product ranks items in the best possible way.

    `users` and `items` are the ids of all that are alive; score(u, i) = user_factors[u] @ item_factors[i].
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    user_factors: Floats  # [users, k]
    item_factors: Floats  # [items, k]


@dataclass(frozen=True)
class LatentWorld:
    """`users` and `items` alive at any time; each has a place that a new one takes when its life ends.

    The one that holds place `s` in generation `g` has the number `g * places + s`, forever.
    """

    users: int
    items: int
    drift: float  # 1 / days over which a user's interests stay alike
    user_life: float  # mean days a user stays
    item_life: float  # mean days an item is offered
    seed: int
    tastes: int = 8  # latent dimensions
    strength: float = 2.0  # standard deviation of the affinity, in logits

    def alive(self, kind: str, day: int) -> tuple[Ints, Floats]:
        """Numbers of those that are alive on a day [places], and their age in days."""
        places, life = (self.users, self.user_life) if kind == "user" else (self.items, self.item_life)
        stream = 1 if kind == "user" else 2
        place = np.arange(places, dtype=np.int64)
        span = life * (0.5 + uniform(self.seed, stream, place))
        clock = day + span * uniform(self.seed, stream + 2, place)
        generation = np.floor(clock / span).astype(np.int64)
        return generation * places + place, clock - generation * span

    def tastes_of(self, users: Ints, days: Floats) -> Floats:
        """What users like [n, tastes]: a part that stays and a larger one that moves; expected square sum 1."""
        axis = np.arange(self.tastes, dtype=np.int64)
        who = users[:, None]
        fixed = normal(self.seed, 5, who, axis)
        drifting = moving_values(self.seed, 6, (days * self.drift)[:, None], who, axis)
        return np.asarray((0.6 * fixed + 0.8 * drifting) / np.sqrt(self.tastes))

    def traits_of(self, items: Ints) -> Floats:
        """What items are [n, tastes]: their category's centre and something of their own; times `strength`."""
        axis = np.arange(self.tastes, dtype=np.int64)
        centre = normal(self.seed, 7, self.category_of(items)[:, None], axis)
        own_part = normal(self.seed, 8, items[:, None], axis)
        return np.asarray(self.strength * (0.8 * centre + 0.6 * own_part))

    def category_of(self, items: Ints) -> Ints:
        """Position of each item's category in CATEGORIES [n]."""
        return np.asarray((uniform(self.seed, 9, items) * len(CATEGORIES)).astype(np.int64))

    def appeal_of(self, items: Ints, age: Floats, day: Floats) -> Floats:
        """Log of how often items are shown [n]: their own level, their category's trend, and being new."""
        trend = moving_values(self.seed, 10, day * 2.0 * self.drift, self.category_of(items))
        own_level = normal(self.seed, 11, items)
        return np.asarray(1.1 * own_level + 0.6 * trend + 1.0 * np.exp(-age / 4.0))

    def price_of(self, items: Ints) -> Floats:
        """Price of each item [n], in money, two decimals."""
        level = 2.5 + 0.25 * (self.category_of(items) % 5)
        return np.asarray(np.round(np.exp(level + 0.5 * normal(self.seed, 12, items)), 2))

    def habit_of(self, items: Ints, hour: Floats) -> Floats:
        """How well an item's category suits the hour of the day [n], in logits."""
        best = 24.0 * uniform(self.seed, 31, self.category_of(items))
        return np.asarray(0.5 * np.cos(2.0 * np.pi * (hour - best) / 24.0))
