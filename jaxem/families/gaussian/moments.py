"""Gaussian log-densities and moments as matrix products with Φ(x) = (1, x, vech xxᵀ). Imports layer 0."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ..._linalg import contract, triangle, vech
from ..._typing import Array, Float


LOG_2PI = float(np.log(2 * np.pi))


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
