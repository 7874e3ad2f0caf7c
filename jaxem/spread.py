"""Clusters by column: where they are, how wide, and which columns set them apart. Imports NumPy only."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from .result import Fit

DRAWS = 10_000  # for the moments of a component: its mean is off by a hundredth of its standard deviation


def matrices(fit: Fit) -> np.ndarray | None:
    """Covariances, or the scatter matrices of t components, shape (k, d, d); None where the family has neither."""
    known = fit.params.asdict()
    return known.get("covariances", known.get("scatters"))


def moments(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every column within each cluster, shape (k, d) each.

    Of t components, whose variances may be infinite, they are centres and the scatters' diagonals. Of a family of the user's own that
    publishes no means and covariances they are those of rows drawn from each component, the same each time: what else it publishes
    need not be by column, nor a place in the data's units.
    """
    params, own = fit.params, matrices(fit)
    if own is not None:
        return params.means, np.diagonal(own, axis1=-2, axis2=-1)
    if fit.family == "poisson":
        return params.rates, params.rates
    means, variances = [], []
    for k in range(fit.num_components):
        alone = dataclasses.replace(fit, num_components=1, params=params.take(np.array([k])), terms={})
        rows = alone.sample(DRAWS)
        means.append(rows.mean(0))
        variances.append(rows.var(0))
    return np.array(means), np.array(variances)


def separation(fit: Fit) -> np.ndarray:
    """How far each column sets the clusters apart: the variance between clusters over that within, noise aside, shape (d,).

    Of categories, variances are those of their indicators, summed.
    """
    share = fit.params.weights / fit.params.weights.sum()
    centres, within = moments(fit) if fit.family != "categorical" else _indicators(fit)
    between = np.tensordot(share, (centres - np.tensordot(share, centres, 1)) ** 2, 1)
    around = np.tensordot(share, within, 1)
    axes = tuple(range(1, between.ndim))
    return between.sum(axes) / np.maximum(around.sum(axes), np.finfo(float).tiny)


def _indicators(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the indicator of each category in every column within each cluster, shape (k, d, m) each."""
    chance = fit.params.probabilities
    return chance, chance * (1 - chance)


def category(fit: Fit, column: int, number: int) -> str:
    """What a category of a column is called."""
    names = fit.categories.get(fit.columns[column], ())
    return names[number] if number < len(names) else str(number)


def listed(fit: Fit) -> list[tuple[int, int]]:
    """Categories that say it all, as column and number: every one that is there, but of two only the second."""
    there = fit.params.probabilities.max(axis=0) > 0
    return [
        (column, number)
        for column, own in enumerate(there)
        for number in (np.flatnonzero(own) if own.sum() != 2 else np.flatnonzero(own)[1:]).tolist()
    ]
