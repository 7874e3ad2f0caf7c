"""Noise: a class of rows spread evenly over the region of the data. Owns that region, the first guess, and signs that noise is lacking.

Imports NumPy only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


NEIGHBOURS = 10  # the distance to which of them tells crowded rows from lonely ones
GUESS_STEPS = 50
SHARE = 0.05  # of every row that is noise at first, where no guess is made
FLAT = 1e-13  # smallest eigenvalue of the correlation matrix below which the columns are dependent
FAR = 100.0  # interquartile ranges from the median: beyond, a row makes the others look alike
WIDE = 5.0  # times as wide as any other component in every direction, and around them all: rows of no cluster


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """A box, its edges along the columns or along the principal axes.

    Attributes:
        origin: One corner, shape (d,).
        edges: The edges that leave it, one a row, shape (d, d).
    """

    origin: np.ndarray
    edges: np.ndarray

    @property
    def log_volume(self) -> float:
        """Minus the log-density of the noise."""
        return float(np.linalg.slogdet(self.edges)[1])

    @property
    def middle(self) -> np.ndarray:
        """Its centre, shape (d,)."""
        return self.origin + self.edges.sum(0) / 2

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log-density of the noise at rows (n, d) inside the region, shape (n,): of the cells that are there.

        Raises:
            ValueError: if cells are missing and the edges do not lie along the columns.
        """
        there = ~np.isnan(x)
        if there.all():
            return np.full(len(x), -self.log_volume)
        if (self.edges != np.diag(np.diag(self.edges))).any():
            raise ValueError(
                "with the region of the noise along the principal axes, rows must have all their cells; fit to data with missing "
                "cells, and it will lie along the columns"
            )
        return -(there @ np.log(np.diag(self.edges)))

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rows spread evenly over the region, shape (n, d)."""
        return self.origin + rng.random((n, len(self.origin))) @ self.edges

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"origin": self.origin.tolist(), "edges": self.edges.tolist()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Region:
        """The inverse of `to_dict`."""
        return cls(np.asarray(plain["origin"], float), np.asarray(plain["edges"], float))


def region(x: np.ndarray) -> Region:
    """The smaller of two boxes around rows (n, d): along the columns, and along the principal axes.

    Where some combination of the columns is constant to rounding, the second has no volume, and the first is taken.

    References:
        Banfield & Raftery 1993, Biometrics 49, sec. 3.3; the smaller of the two is what mclust takes.
    """
    centre = np.nanmean(x, axis=0)
    boxes = [_box(x, centre, np.eye(x.shape[1]))]
    if x.shape[1] > 1 and not np.isnan(x).any():
        unit = np.ptp(x, axis=0)  # the axes come from comparable numbers, or one column would drown the others' digits
        comparable = (x - centre) / unit
        spread = np.cov(comparable, rowvar=False) * np.outer(unit, unit) / unit.max() ** 2
        if np.linalg.eigvalsh(np.corrcoef(comparable, rowvar=False))[0] > FLAT:
            boxes.append(_box(x, centre, np.linalg.eigh(spread)[1].T))
    return min(boxes, key=lambda box: box.log_volume)


def _box(x: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> Region:
    """The box along orthogonal axes, one a row."""
    along = (x - centre) @ axes.T if not np.isnan(x).any() else x - centre
    low, high = np.nanmin(along, axis=0), np.nanmax(along, axis=0)
    return Region(centre + low @ axes, (high - low)[:, None] * axes)


def guess(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How likely each row is to be noise, from how lonely it is, shape (n,).

    The volume that reaches to the tenth neighbour follows a gamma law where rows fall evenly; two such laws, of crowded rows and of
    lonely ones, are told apart by EM.

    Args:
        x: Rows with comparable columns, complete, shape (d, n).
        weight: Row weights, shape (n,).
    References:
        Byers & Raftery 1998, JASA 93.
    """
    from scipy.spatial import KDTree  # slow to load, and only needed here

    seen = np.flatnonzero(weight > 0)
    most = min(NEIGHBOURS, len(seen) - 1)
    if most < 1:
        return np.zeros(x.shape[1])
    reach = KDTree(x.T[seen]).query(x.T, most + 1)[0][:, -1]
    typical = np.median(reach[seen])
    if not typical > 0:
        return np.zeros(x.shape[1])
    volume = np.exp(np.minimum(len(x) * np.log(np.maximum(reach / typical, 1e-9)), 200.0))
    lonely = (volume >= np.quantile(volume[seen], 0.9)).astype(float)  # the largest may all be equal
    for _ in range(GUESS_STEPS):
        if not weight @ (1 - lonely) > 0:  # all rows are alike
            return np.zeros(x.shape[1])
        share = np.clip(weight @ lonely / weight.sum(), 1e-6, 1 - 1e-6)
        rates = [most * (weight @ part) / (weight @ (part * volume)) for part in (lonely, 1 - lonely)]
        odds = np.log(share / (1 - share)) + most * np.log(rates[0] / rates[1]) - (rates[0] - rates[1]) * volume
        lonely = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return np.where(volume > np.median(volume[seen]), lonely, 0.0)


def surrounding(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> int | None:
    """The component that lies around all others and is far wider than any of them, if there is one: it may stand for noise.

    Args:
        weights: Mixing weights, shape (k,).
        means: Shape (k, d).
        covariances: Shape (k, d, d).

    Example:
        >>> surrounding(np.array([0.9, 0.1]), np.zeros((2, 1)), np.array([[[1.0]], [[100.0]]]))
        1
    """
    if len(weights) < 2:
        return None
    widest = int(np.linalg.slogdet(covariances)[1].argmax())
    others = np.arange(len(weights)) != widest
    inward = np.linalg.inv(np.linalg.cholesky(covariances[widest]))
    largest = np.linalg.eigvalsh(inward @ covariances[others] @ inward.T)[:, -1]
    away = np.linalg.norm((means[others] - means[widest]) @ inward.T, axis=1)
    found = weights[widest] < 0.5 and (largest < WIDE**-2).all() and (away < np.sqrt(means.shape[1])).all()
    return widest if found else None


def far_rows(x: np.ndarray, weight: np.ndarray, columns: Sequence[str]) -> str | None:
    """A sentence on rows so far out that all others look alike beside them, if there are any.

    Args:
        x: Rows, shape (n, d), NaN where a cell is missing.
        weight: Row weights, shape (n,).
        columns: Names of the columns.
    """
    low, middle, high = np.nanquantile(x[weight > 0], [0.25, 0.5, 0.75], axis=0)
    cells = np.argwhere((np.abs(x - middle) > FAR * (high - low)) & (high > low) & (weight > 0)[:, None])
    if not len(cells):
        return None
    row, column = cells[0]
    count = len(np.unique(cells[:, 0]))
    return (
        f"Row {row + 1} lies more than {FAR:g} interquartile ranges from the median of column {columns[column]!r}"
        f"{f' ({count} such rows in all)' if count > 1 else ''}: beside it all others look alike, and runs collapse; leave it out"
    )
