"""Stacking: a logistic regression on the logits of several members that continues from night to night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PRIOR = 10.0  # precision of the line before the first night, for every coefficient
STEPS, DIGITS = 25, 5  # of Newton's method; of a coefficient: the last digits depend on the processor


@dataclass(frozen=True)
class Line:
    """What is known of the intercept and of the coefficient of each member: means [1 + M] and precision [1 + M, 1 + M]."""

    mean: Floats
    precision: Floats


def equal_line(members: int) -> Line:
    """The mean of the members' logits."""
    return Line(np.array([0.0, *[1 / members] * members]), PRIOR * np.eye(1 + members))


def update_line(before: Line, logits: Floats, label: Floats, half_life: float) -> Line:
    """The line after rows with these logits [n, M] and labels [n].

    What was known counts half after `half_life` nights, and never less than at the beginning, so that members that say
    the same share their coefficient. It is the most likely line under the normal distribution that stands for the rows
    before (Laplace's approximation).

    References
    ----------
    Spiegelhalter and Lauritzen 1990, Sequential updating of conditional probabilities on directed graphical structures.

    Examples
    --------
    Rows whose logits are half as large as they should be: the coefficient doubles.

    >>> import numpy as np
    >>> from nightloop.tasks.retraining.stacking import equal_line, update_line
    >>> random = np.random.default_rng(0)
    >>> logits = random.normal(size=(100_000, 1))
    >>> label = (random.random(100_000) < 1 / (1 + np.exp(-2 * logits[:, 0]))).astype(float)
    >>> update_line(equal_line(1), logits, label, 2.0).mean.round(1).tolist()
    [-0.0, 2.0]
    """
    decay = 0.5 ** (1 / half_life)
    prior = decay * before.precision + (1 - decay) * PRIOR * np.eye(len(before.mean))
    columns = [np.ones(len(label)), *(np.ascontiguousarray(column) for column in logits.T)]
    line = before.mean.copy()
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-sum(a * column for a, column in zip(line, columns, strict=True))))
        slope = np.array([(column * (label - chance)).sum() for column in columns]) - prior @ (line - before.mean)
        weight = chance * (1 - chance)
        curvature = np.array([[(a * b * weight).sum() for b in columns] for a in columns]) + prior
        step = np.linalg.solve(curvature, slope)
        line += step
        if np.abs(step).max() < 1e-9:
            break
    return Line(np.round(line, DIGITS), np.round(curvature, 3))


def without_members(line: Line, left_out: frozenset[int]) -> Floats:
    """The likeliest line [1 + M] if the coefficients of these members are 0."""
    out = np.array([number - 1 in left_out for number in range(len(line.mean))])
    if not out.any():
        return line.mean
    found = np.zeros(len(line.mean))
    inside = line.precision[np.ix_(~out, ~out)]
    found[~out] = line.mean[~out] + np.linalg.solve(inside, line.precision[np.ix_(~out, out)] @ line.mean[out])
    return np.asarray(np.round(found, DIGITS))
