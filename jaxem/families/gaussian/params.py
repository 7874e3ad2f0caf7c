"""What Gaussian components are to EM: params, statistics and free coordinates. Imports layer 0."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ..._linalg import unvech
from ..._pytree import pytree
from ..._typing import Array, Float


@pytree
class GaussianParams:
    """Params of Gaussian components.

    Attributes:
        mean: Means, shape (k, d).
        whitener: W with WᵀW the inverse covariance, shape (k, d, d): axes in rows for EVE, VVE, EEV and VEV, else lower triangular.
    """

    mean: Float[Array, "*l k d"]
    whitener: Float[Array, "*l k d d"]


@pytree
class GaussianStats:
    """Weighted moments about 0 or, in the residual form, about the current means.

    Attributes:
        count: Σ r, shape (k,).
        first: Σ r x, shape (k, d).
        second: Upper triangle of Σ r xxᵀ, shape (k, d(d + 1)/2).
    """

    count: Float[Array, "*l k"]
    first: Float[Array, "*l k d"]
    second: Float[Array, "*l k f"]


@pytree
class GaussianPoint:
    """Free coordinates of Gaussian components.

    Attributes:
        mean: Means, shape (k, d).
        log_scale: log δ, shape (k, d).
        frame: F, shape (k, d, d).
    """

    mean: Float[Array, "k d"]
    log_scale: Float[Array, "k d"]
    frame: Float[Array, "k d d"]


def scatter(stats: GaussianStats) -> tuple[Float[Array, "k d"], Float[Array, "k d d"]]:
    """Means, about the point the moments were taken at, and covariances about the means; 0 where there are no rows."""
    count = jnp.where(stats.count > 0, stats.count, 1.0)[:, None]
    mean = stats.first / count
    return mean, unvech(stats.second / count, mean.shape[-1]) - mean[:, :, None] * mean[:, None, :]


def distance(a: GaussianParams, b: GaussianParams) -> np.ndarray:
    """How far component i of `a` is from component j of `b`, shape (k, k): means in standard deviations of `a`, log-sds. With NumPy."""
    means = np.abs(np.einsum("kij,klj->kli", a.whitener, b.mean[None] - a.mean[:, None])).max(-1)
    moved = np.einsum("kij,ljm->klim", a.whitener, np.linalg.inv(b.whitener))
    ratio = moved @ np.swapaxes(moved, -1, -2) - np.eye(moved.shape[-1])  # of the covariances, in the eyes of `a`
    return np.maximum(means, np.abs(ratio).max((-1, -2)) / 2)
