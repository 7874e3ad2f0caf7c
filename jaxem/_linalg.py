"""Small dense linear algebra, written for batches inside compiled loops. Imports JAX and NumPy only.

Symmetric matrices travel as their upper triangle by rows ("vech"): d(d + 1)/2 numbers instead of d².
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax


HALVES_TO = 48  # up to here faster than LAPACK or level with it (7 times at d = 32, where BLAS threads get in XLA's way)


def contract(subscripts: str, *operands):
    """`einsum` at the highest matrix-product precision, asked for per operation: accelerators otherwise round float32 to TF32."""
    return jnp.einsum(subscripts, *operands, precision=lax.Precision.HIGHEST)


@functools.cache
def triangle(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column numbers of the upper triangle, by rows: the order of `vech`."""
    rows, columns = np.triu_indices(d)
    return rows.astype(np.int32), columns.astype(np.int32)  # 32 bits: right in either width of JAX


@functools.cache
def _positions(d: int) -> np.ndarray:
    """Where entry (i, j) of a symmetric matrix lies in its vech."""
    rows, columns = triangle(d)
    where = np.zeros((d, d), np.int32)
    where[rows, columns] = where[columns, rows] = np.arange(len(rows))
    return where


def vech(matrix):
    """Upper triangle of (..., d, d) as (..., d(d + 1)/2)."""
    rows, columns = triangle(matrix.shape[-1])
    return matrix[..., rows, columns]


def unvech(packed, d: int):
    """The symmetric (..., d, d) whose upper triangle is given."""
    return packed[..., _positions(d)]


def inverse_factor(matrix):
    """Lower triangular W with WᵀW the inverse of a positive definite (..., d, d); NaN where it is not positive definite.

    W is the inverse of the Cholesky factor: it whitens a Gaussian with this covariance, and its diagonal gives the log-determinant.
    By halves: the factor's inverse of a block matrix from those of its first block and of what is left of the second.
    """
    d = matrix.shape[-1]
    if d == 1:
        return 1 / jnp.sqrt(matrix)
    if d > HALVES_TO:
        factor = jnp.linalg.cholesky(matrix)
        eye = jnp.broadcast_to(jnp.eye(d, dtype=matrix.dtype), matrix.shape)
        return lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
    half = -(-d // 2)
    first, corner, second = matrix[..., :half, :half], matrix[..., half:, :half], matrix[..., half:, half:]
    upper = inverse_factor(first)
    across = contract("...ij,...lj->...il", corner, upper)
    lower = inverse_factor(second - contract("...ij,...lj->...il", across, across))
    below = -contract("...ij,...jl->...il", lower, contract("...ij,...jl->...il", across, upper))
    beside = jnp.zeros((*matrix.shape[:-2], half, d - half), matrix.dtype)
    return jnp.concatenate([jnp.concatenate([upper, beside], -1), jnp.concatenate([below, lower], -1)], -2)
