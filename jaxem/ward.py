"""Ward's hierarchical clustering, by chains of nearest neighbours. Imports NumPy only: loading SciPy takes longer than the clustering.

Merging two groups raises the sum of squares within groups by d²; Ward's method always makes the cheapest merge. Following nearest
neighbours from any group ends in a pair that are each other's, and such a pair may be merged at once: the tree is the same once
merges are sorted by height.

References:
    Ward 1963, JASA 58; chains: Murtagh 1983, Computer Journal 26; update of distances: Lance & Williams 1967, Computer Journal 9.
"""

from __future__ import annotations

import numpy as np


def tree(x: np.ndarray) -> np.ndarray:
    """The n − 1 merges of the rows of x (d, n), cheapest first, as numbers of groups, shape (n − 1, 2).

    Rows are groups 0 to n − 1; merge number m makes group n + m.
    """
    pairs, heights = _merges(x)
    num_rows = x.shape[1]
    above = np.arange(2 * num_rows)
    out = np.empty((len(pairs), 2), int)
    for number, merge in enumerate(np.argsort(heights, kind="stable")):
        for side, row in enumerate(pairs[merge]):
            while above[row] != row:
                above[row] = row = above[above[row]]
            out[number, side] = row
        above[out[number]] = num_rows + number
    return out


def _merges(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows' groups are merged, shape (n − 1, 2), in the order in which chains end, and at which heights."""
    num_rows = x.shape[1]
    square = (x**2).sum(0)
    distance = np.maximum(square[:, None] + square - 2 * x.T @ x, 0.0)
    np.fill_diagonal(distance, np.inf)
    size, alive = np.ones(num_rows), np.ones(num_rows, bool)
    pairs, heights = np.empty((num_rows - 1, 2), int), np.empty(num_rows - 1)
    chain: list[int] = []
    for number in range(num_rows - 1):
        if not chain:
            chain.append(int(alive.argmax()))
        while True:
            from_tip = distance[chain[-1]]
            nearest = int(from_tip.argmin())
            if len(chain) > 1 and from_tip[chain[-2]] <= from_tip[nearest]:  # a tie must not lead in circles
                break
            chain.append(nearest)
        gone, kept = chain.pop(), chain.pop()
        pairs[number], height = (gone, kept), distance[gone, kept]
        joined = (size[gone] + size) * distance[gone] + (size[kept] + size) * distance[kept] - size * height
        joined /= size[gone] + size[kept] + size
        distance[kept], distance[:, kept], heights[number] = joined, joined, height
        distance[kept, kept] = distance[gone] = distance[:, gone] = np.inf
        size[kept] += size[gone]
        alive[gone] = False
    return pairs, heights
