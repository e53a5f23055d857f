"""The standard error of a mean if rows of one cluster, such as a user, are not independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def cluster_error(influence: ArrayLike, cluster: ArrayLike) -> tuple[float, int]:
    """Standard error of an estimate, and the number of clusters G.

    The rows of a cluster are added up before they are squared: se^2 = G / (G - 1) * sum_c (sum of c's rows)^2.

    Parameters
    ----------
    influence : array of shape [n], float
        How far each row moves the estimate; they sum to zero. For a mean: (value - mean) / n (Cochran 1977, Sampling
        Techniques, ch. 9A). For an AUC: DeLong et al. 1988, Obuchowski 1997.
    cluster : array of shape [n]
        Which rows belong together: any values.

    Returns
    -------
    tuple of float and int
        The standard error, 0 with fewer than two clusters; and G.

    Examples
    --------
    Two users with two rows each: rows of a user are equal, so that there are two independent values and not four.

    >>> from nightloop.tasks.evaluation.cluster_error import cluster_error
    >>> error, clusters = cluster_error([-0.25, -0.25, 0.25, 0.25], [7, 7, 9, 9])
    >>> print(round(error, 3), clusters)
    1.0 2
    """
    _, group = np.unique(np.asarray(cluster), return_inverse=True)
    sums = np.bincount(group, np.asarray(influence, dtype=np.float64))
    groups = len(sums)
    return (float(np.sqrt(np.square(sums).sum() * groups / (groups - 1))) if groups > 1 else 0.0), groups
