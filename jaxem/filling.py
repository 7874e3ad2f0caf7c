"""Rows with their missing cells filled in: what starts look at. Imports NumPy only.

A start is a partition of the rows, and every way to make one wants complete rows. Missing cells are filled once, by the regression on
the cells that are there, as one Gaussian for all rows sees it. Nothing but starts rests on these numbers: EM itself never sees them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


ROWS = 1000  # that the one Gaussian is estimated from
STEPS = 10  # of EM: no more is needed for a start
RIDGE = 1e-6  # of the columns' variances


def filled(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows (d, n) with conditional means in the place of NaN; the rows themselves where there is none.

    Columns must have about unit scale.

    References:
        Dempster, Laird & Rubin 1977, JRSS-B 39, sec. 4.1.3.
    """
    return Filler(x, weight)(x) if np.isnan(x).any() else x


def commonest(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows (d, n) with the commonest value of the column in the place of NaN: what no arithmetic on values may make up."""
    out = x.copy()
    for row in out:
        values, which = np.unique(row[~np.isnan(row)], return_inverse=True)
        row[np.isnan(row)] = values[np.bincount(which, weight[~np.isnan(row)]).argmax()]
    return out


class Filler:
    """What fills the missing cells of rows like the ones given; no filled cell leaves the range of its column among them.

    Args:
        x: Rows, NaN where a cell is missing, shape (d, n).
        weight: Row weights, shape (n,).
    """

    def __init__(self, x: np.ndarray, weight: np.ndarray):
        seen = np.flatnonzero((weight > 0) & ~np.isnan(x).all(0))
        some = seen[np.linspace(0, len(seen) - 1, min(ROWS, len(seen))).astype(int)]
        self.mean, self.covariance = _gaussian(x[:, some], weight[some])
        self.least, self.most = np.nanmin(x, axis=1), np.nanmax(x, axis=1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Rows (d, n) without NaN."""
        out = x.copy()
        for missing, rows in _patterns(np.isnan(x)):
            slope, _ = _regression(self.covariance, missing)
            there = x[np.ix_(~missing, rows)] - self.mean[~missing, None]
            guess = self.mean[missing, None] + slope @ there
            out[np.ix_(missing, rows)] = np.clip(guess, self.least[missing, None], self.most[missing, None])
        return out


def _gaussian(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of rows (d, n), by a few steps of EM from those of the cells that are there."""
    gone = np.isnan(x)
    light = weight * ~gone
    held = np.maximum(light.sum(1), np.finfo(float).tiny)
    mean = (light * np.nan_to_num(x)).sum(1) / held
    variance = (light * np.nan_to_num(x - mean[:, None]) ** 2).sum(1) / held
    floor = np.diag(RIDGE * np.where(variance > 0, variance, 1.0))
    covariance = np.diag(variance) + floor
    patterns = list(_patterns(gone))
    for _ in range(STEPS):
        whole, extra = x.copy(), np.zeros_like(covariance)
        for missing, rows in patterns:
            slope, rest = _regression(covariance, missing)
            whole[np.ix_(missing, rows)] = mean[missing, None] + slope @ (x[np.ix_(~missing, rows)] - mean[~missing, None])
            extra[np.ix_(missing, missing)] += weight[rows].sum() * rest
        mean = whole @ weight / weight.sum()
        centred = whole - mean[:, None]
        covariance = ((centred * weight) @ centred.T + extra) / weight.sum() + floor
    return mean, covariance


def _regression(covariance: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the missing columns on the others: slopes, and what is left of the covariance."""
    across = covariance[np.ix_(missing, ~missing)]
    slope = np.linalg.solve(covariance[np.ix_(~missing, ~missing)], across.T).T
    return slope, covariance[np.ix_(missing, missing)] - slope @ across.T


def _patterns(gone: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each pattern of missing cells (d,) but the empty one, and its rows."""
    lacking = np.flatnonzero(gone.any(0))
    if not len(lacking):  # as may be in the few rows that stand for many
        return
    which = np.unique(np.packbits(gone[:, lacking], axis=0), axis=1, return_inverse=True)[1].ravel()
    order = np.argsort(which, kind="stable")
    for rows in np.split(lacking[order], np.flatnonzero(np.diff(which[order])) + 1):
        yield gone[:, rows[0]], rows
