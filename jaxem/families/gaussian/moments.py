"""Gaussian log-densities and moments as matrix products: with Φ(x) = (1, x, vech xxᵀ), or of rows in units of each component.

Imports layer 0.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ..._linalg import contract, triangle, vech
from ..._typing import Array, Float


LOG_2PI = float(np.log(2 * np.pi))


def used(d: int, *, aligned: bool) -> np.ndarray:
    """Which of the monomials Φ a program needs: all or, where covariances are diagonal, those without products of two columns."""
    rows, columns = triangle(d)
    return np.flatnonzero(np.concatenate([np.ones(1 + d, bool), (rows == columns) | (not aligned)])).astype(np.int32)


def monomials(x: Float[Array, "d n"], used: np.ndarray) -> Float[Array, "f n"]:
    """Φ(x) for every row, the ones that are used."""
    d = x.shape[0]
    quadratic = used[used > d] - 1 - d
    rows, columns = (side[quadratic] for side in triangle(d))
    return jnp.concatenate([jnp.ones((1, x.shape[1]), x.dtype), x, x[rows] * x[columns]])


def natural(precision: Float[Array, "k d d"], mean: Float[Array, "k d"], log_peak: Float[Array, " k"]) -> Float[Array, "k f"]:
    """θ with log-density θ Φ(x), from inverse covariances, means, and log-densities at the means."""
    linear = contract("kij,kj->ki", precision, mean)
    rows, columns = triangle(mean.shape[-1])
    quadratic = vech(precision) * np.where(rows == columns, -0.5, -1.0).astype(linear.dtype)
    constant = log_peak - 0.5 * jnp.sum(linear * mean, -1)
    return jnp.concatenate([constant[:, None], linear, quadratic], axis=1)


def whitened(whitener: Float[Array, "k d d"], mean: Float[Array, "k d"], x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
    """Rows in units of each component.

    In float64 W x − W m, one matrix product for all components: what it loses against W (x − m) is of the order of what m itself has
    lost by having 16 digits. In float32 that is too much.
    """
    if x.dtype != np.float64:
        return contract("kij,kjn->kin", whitener, x - mean[:, :, None])
    k, d = mean.shape
    flat = contract("rj,jn->rn", whitener.reshape(k * d, d), x).reshape(k, d, -1)
    return flat - contract("kij,kj->ki", whitener, mean)[:, :, None]
