"""Conditional logit: non-negative weights under which what was taken is likeliest among what could have been taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
DIGITS = 4  # of a weight: the last digits of a minimum depend on the processor


@dataclass(frozen=True)
class Choices:
    """n choices of one alternative, the first, among 1 + count.

    Parameters
    ----------
    features : ndarray
        [n, 1 + C, K] float64; rows of alternatives beyond the count are not read.
    count : ndarray
        [n] int64: other alternatives of each choice.
    """

    features: Floats
    count: NDArray[np.int64]

    def select(self, keep: NDArray[np.bool_]) -> Choices:
        """The choices at `keep`."""
        return Choices(self.features[keep], self.count[keep])

    def scales(self) -> Floats:
        """The standard deviation of each feature among the other alternatives of a choice, a mean over all choices: [K]."""
        others = self.features[:, 1:]
        mask = (np.arange(others.shape[1]) < self.count[:, None])[..., None]
        many = np.maximum(self.count, 1)[:, None]
        mean = np.sum(others * mask, axis=1) / many
        variance = np.sum((others - mean[:, None]) ** 2 * mask, axis=1) / many
        return np.asarray(np.sqrt(variance.mean(0))) if len(others) else np.zeros(self.features.shape[2])


def fit_conditional_logit(
    choices: Choices, center: Floats, strength: float, free: NDArray[np.bool_], begin: Floats | None = None
) -> Floats:
    """The weights [K] >= 0 with the largest likelihood of the first alternatives, regularised towards `center`.

    The chance of alternative j is exp(w . x_j) divided by the sum over all alternatives. What is minimised is the sum of
    -log chance over all choices, plus `strength` / 2 times the squared distance to `center`, which counts as much as
    about `strength` choices. Weights that are not `free` are 0. They are rounded, so that all processors agree. The search
    begins at `begin`, or at `center`.

    References
    ----------
    McFadden 1974, Conditional logit analysis of qualitative choice behavior.

    Examples
    --------
    The first feature is larger for what was chosen, three times of four; the second says nothing.

    >>> import numpy as np
    >>> from nightloop.tasks.retraining.conditional_logit import Choices, fit_conditional_logit
    >>> features = np.array([[[1.0, 0], [0, 0]]] * 3 + [[[0.0, 0], [1, 0]]])
    >>> choices = Choices(features, np.ones(4, dtype=np.int64))
    >>> fit_conditional_logit(choices, np.zeros(2), 1e-6, np.array([True, True])).tolist()
    [1.0986, 0.0]
    """
    used = np.flatnonzero(free)
    columns = [np.ascontiguousarray(choices.features[:, :, k]) for k in used]  # sums of columns take one thread
    masked = np.arange(choices.features.shape[1]) > choices.count[:, None]

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = np.zeros(masked.shape)
        for weight, column in zip(weights, columns, strict=True):
            logits += weight * column
        logits[masked] = -np.inf
        logits -= logits.max(1, keepdims=True)
        chance = np.exp(logits)
        total = chance.sum(1)
        chance /= total[:, None]
        apart = weights - center[used]
        slope = [(column * chance).sum() - column[:, 0].sum() for column in columns] + strength * apart
        return float((np.log(total) - logits[:, 0]).sum() + 0.5 * strength * (apart @ apart)), slope

    weights = np.zeros(len(free))
    if not len(used):
        return weights
    first = np.maximum(center if begin is None else begin, 0.0)[used]
    options = {"maxiter": 200, "ftol": 1e-11}
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(used), options=options)
    weights[used] = np.round(found.x, DIGITS)
    return weights
