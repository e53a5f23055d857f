"""The standard error of a mean if rows of one cluster, such as a user, are not independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_POOLS = 8  # clusters; the spread between fewer cannot be estimated


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
    _, sums = cluster_sums(influence, cluster)
    groups = len(sums)
    return (float(np.sqrt(np.square(sums).sum() * groups / (groups - 1))) if groups > 1 else 0.0), groups


def cluster_sums(influence: ArrayLike, cluster: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The clusters in order, and the sum of the rows of each."""
    names, group = np.unique(np.asarray(cluster), return_inverse=True)
    sums = np.bincount(group, np.asarray(influence, dtype=np.float64), minlength=len(names))
    return names.astype(np.int64), sums.astype(np.float64)


def two_way_error(influence: ArrayLike, user: ArrayLike, pool: ArrayLike) -> float:
    """Standard error if rows of one user are dependent, and rows that were ranked against one pool of candidates too.

    The squares of both are added, and that of single rows is taken off. It is never below the error over users alone.
    With fewer than `FEWEST_POOLS` pools their spread cannot be estimated, and users alone count.

    Parameters
    ----------
    influence : array of shape [n], float
        How far each row moves the estimate, as for `cluster_error`.
    user, pool : array of shape [n]
        The user and the pool of candidates of each row.

    Returns
    -------
    float
        0 with fewer than two users.

    References
    ----------
    Cameron, Gelbach and Miller 2011, Robust inference with multiway clustering.

    Examples
    --------
    Eight users met the candidates of eight pools: four pools were easy for all.

    >>> import numpy as np
    >>> from nightloop.tasks.evaluation.cluster_error import two_way_error
    >>> user, pool = np.arange(64) // 8, np.arange(64) % 8
    >>> influence = np.where(pool < 4, 1.0, -1.0) / 64
    >>> print(round(two_way_error(influence, user, pool), 3))
    0.356
    """
    rows = np.arange(len(np.asarray(user)))
    found = [cluster_error(influence, cluster) for cluster in (user, pool, rows)]
    by_user, by_pool, by_row = (error**2 if clusters >= FEWEST_POOLS else 0.0 for error, clusters in found)
    alone = found[0][0]
    return max(alone, float(np.sqrt(max(by_user + by_pool - by_row, 0.0))))
