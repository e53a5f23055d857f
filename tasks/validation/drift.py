"""Allowed ranges and distances of distributions, from the statistics of nights that passed.

`history` is the statistics of nights that passed, oldest first. A night that was blocked is never among them, so what
it held cannot widen a band (invariant 11).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from nightloop.tasks.plan.expectations import Band, Drift

History = Sequence[Mapping[str, float]]

SPREAD = 1.4826  # median absolute deviation to standard deviation, for a normal distribution
RARE = 1e-4  # a share of 0 counts as this much, or PSI would be infinite
QUANTILES = 41  # points that stand for a numeric distribution: 0, 1/40, ..., 1


def allowed_range(band: Band, name: str, history: History) -> tuple[float, float] | None:
    """The least and the most that `name` may be tonight; None while too few nights passed."""
    values = [night[name] for night in history if math.isfinite(night.get(name, math.nan))][-band.nights :]
    if len(values) < band.least:
        return None
    middle = median(values)
    spread = SPREAD * median(abs(value - middle) for value in values)
    margin = max(band.width * spread, band.relative * abs(middle), band.absolute)
    low = -math.inf if band.sides == "above" else middle - margin
    high = math.inf if band.sides == "below" else middle + margin
    return low, high


def reference_values(drift: Drift, prefix: str, history: History) -> list[dict[str, float]]:
    """What the last passed nights kept under `prefix`, the prefix taken off; empty while there are too few."""
    nights = [with_prefix(prefix, night) for night in history]
    nights_with_values = [night for night in nights if night][-drift.nights :]
    return nights_with_values if len(nights_with_values) >= drift.least else []


def with_prefix(prefix: str, statistics: Mapping[str, float]) -> dict[str, float]:
    """The statistics whose name begins with `prefix`, the prefix taken off."""
    return {name[len(prefix) :]: value for name, value in statistics.items() if name.startswith(prefix)}


def psi(tonight: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> float:
    """Population stability index of category shares against their mean over earlier nights (Siddiqi 2006).

    Sum over categories of (p - q) ln(p / q); below 0.1 is no change, above 0.25 a large one. NaN without shares.
    """
    names = sorted({*tonight, *(name for night in before for name in night)})
    if not names or not tonight or not before:
        return math.nan
    p = np.array([max(tonight.get(name, 0.0), RARE) for name in names])
    q = np.array([max(float(np.mean([night.get(name, 0.0) for night in before])), RARE) for name in names])
    return float(np.sum((p - q) * np.log(p / q)))


def ks(tonight: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> float:
    """Largest distance between the distribution of quantiles `tonight` and the mean one of earlier nights, in [0, 1].

    Keys are quantile numbers, so the distance is exact to about 1 / (QUANTILES - 1). NaN without quantiles.
    """
    if not tonight or not before:
        return math.nan
    samples = [_values(night) for night in (tonight, *before)]
    grid = np.unique(np.concatenate(samples))
    curves = [_distribution(sample, grid) for sample in samples]
    return float(np.max(np.abs(curves[0] - np.mean(curves[1:], axis=0))))


def _values(quantiles: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.sort(np.array(list(quantiles.values()), dtype=np.float64))


def _distribution(
    sample: np.ndarray[tuple[int], np.dtype[np.float64]], grid: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of rows at or below each grid point: straight lines between the quantiles, a step if they repeat."""
    points, last = np.unique(sample[::-1], return_index=True)
    shares = (len(sample) - 1 - last) / max(len(sample) - 1, 1)
    return np.asarray(np.interp(grid, points, shares, left=0.0, right=1.0))
