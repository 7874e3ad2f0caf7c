"""Label switching: which component of each draw is which. Imports NumPy only.

The posterior does not change when components swap names, so names have to be given afterwards: to every draw the permutation that makes
it most like the others (or like a pivot) in allocation probabilities (Stephens), in allocations (ECR), or in params (pivot). A permutation
`p` of a draw names its component `p[j]` the j-th.
"""

from __future__ import annotations

import itertools

import numpy as np


METHODS = ("stephens", "ecr", "pivot")
MOST_TO_ENUMERATE = 5  # components up to which all permutations are tried at once
MOST_ROUNDS = 100
LEAST = 1e-10  # a probability below this counts as this


def stephens(probabilities: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Permutations that bring the draws' allocation probabilities nearest to their mean in Kullback-Leibler divergence.

    Args:
        probabilities: p(component | row) at each draw, shape (s, n, k).
        start: Probabilities (n, k) to begin with in place of the mean, such as those at the maximum of the likelihood: components are then
            named as there.
    Returns:
        Shape (s, k).
    References:
        Stephens 2000, JRSS-B 62, algorithm 2.
    """
    p = np.maximum(np.asarray(probabilities, dtype=np.float64), LEAST)
    p /= p.sum(-1, keepdims=True)
    negentropy = np.einsum("snk,snk->sk", p, np.log(p))
    mean = p.mean(0) if start is None else np.maximum(start, LEAST)
    order = np.empty(0)
    for _ in range(MOST_ROUNDS):
        before, order = order, _assign(negentropy[:, :, None] - np.einsum("snk,nj->skj", p, np.log(mean), optimize=True))
        if np.array_equal(before, order):
            break
        mean = np.take_along_axis(p, order[:, None, :], axis=2).mean(0)
    return order


def ecr(allocations: np.ndarray, num_components: int, start: np.ndarray | None = None) -> np.ndarray:
    """Permutations that bring the draws' allocations nearest to those that most of them agree on.

    Args:
        allocations: The component of each row at each draw, shape (s, n).
        num_components: K.
        start: Allocations (n,) to begin with in place of those of the first draw.
    Returns:
        Shape (s, k).
    References:
        Papastamoulis & Iliopoulos 2010, Journal of Computational and Graphical Statistics 19; iterated as in Papastamoulis 2016,
        Journal of Statistical Software 69(c1), sec. 2.
    """
    names = np.arange(num_components)
    own = (np.asarray(allocations)[:, :, None] == names).astype(np.float32)
    pivot, order = np.asarray(allocations)[0] if start is None else np.asarray(start), np.empty(0)
    for _ in range(MOST_ROUNDS):
        agree = np.einsum("snk,nj->skj", own, (pivot[:, None] == names).astype(np.float32), optimize=True)
        before, order = order, _assign(-agree)
        if np.array_equal(before, order):
            break
        pivot = np.take_along_axis(own, order[:, None, :], axis=2).sum(0).argmax(1)
    return order


def pivot(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Permutations that bring the components' params nearest to those of a pivot, coordinates scaled by their spread.

    Args:
        points: Coordinates of each component at each draw, shape (s, k, q).
        target: Those of the pivot, shape (k, q).
    Returns:
        Shape (s, k).
    References:
        Marin, Mengersen & Robert 2005, Handbook of Statistics 25, sec. 4.3.
    """
    scale = _spread(points)
    return _assign((((points[:, :, None] - target) / scale) ** 2).sum(-1))


def apply(order: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Draws (s, k, …) with their components renamed."""
    return np.take_along_axis(draws, order.reshape(order.shape + (1,) * (draws.ndim - 2)), axis=1)


def non_permutation_share(points: np.ndarray, target: np.ndarray) -> float:
    """The share of draws whose components, clustered together with those of all draws, do not fall one into each cluster.

    Where it is not small no naming of the components makes sense: some draws have two components for what others have one.

    Args:
        points: Coordinates of each component at each draw, shape (s, k, q).
        target: Centres that the clustering (K-means) begins with, shape (k, q).
    References:
        Frühwirth-Schnatter 2011, in Mixtures: Estimation and Applications, sec. 10.4.
    """
    s, k, _ = points.shape
    scale = _spread(points)
    flat, centres = (points / scale).reshape(s * k, -1), target / scale
    labels = np.empty(0)
    for _ in range(MOST_ROUNDS):
        before, labels = labels, ((flat[:, None] - centres) ** 2).sum(-1).argmin(1)
        if np.array_equal(before, labels):
            break
        centres = np.stack([flat[labels == j].mean(0) if (labels == j).any() else centres[j] for j in range(k)])
    return float((np.sort(labels.reshape(s, k), axis=1) != np.arange(k)).any(1).mean())


def _spread(points: np.ndarray) -> np.ndarray:
    """Standard deviation of each coordinate within components: of draws that have kept their names; 1 where nothing moves."""
    deviation = points.std(0).mean(0)
    return np.where(deviation > 0, deviation, 1.0)


def _assign(cost: np.ndarray) -> np.ndarray:
    """For each draw the permutation of least cost; `cost` (s, k, k) is by old name and new one."""
    s, k, _ = cost.shape
    if k <= MOST_TO_ENUMERATE:
        every = np.array(list(itertools.permutations(range(k))))
        return every[cost[:, every, np.arange(k)].sum(-1).argmin(1)]
    from scipy.optimize import linear_sum_assignment

    order = np.empty((s, k), np.int64)
    for draw in range(s):
        old, new = linear_sum_assignment(cost[draw])
        order[draw, new] = old
    return order
