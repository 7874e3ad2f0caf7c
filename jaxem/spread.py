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
    """How far each column sets the clusters apart: the variance between clusters over that within, noise aside, shape (d,)."""
    weights = fit.params.weights[:, None] / fit.params.weights.sum()
    centres, within = moments(fit)
    between = (weights * (centres - (weights * centres).sum(0)) ** 2).sum(0)
    return between / np.maximum((weights * within).sum(0), np.finfo(float).tiny)
