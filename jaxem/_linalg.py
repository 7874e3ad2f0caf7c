"""Small dense linear algebra, written for batches inside compiled loops. Imports JAX only.

Symmetric matrices travel as their upper triangle by rows ("vech"): d(d + 1)/2 numbers instead of d².
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


UNROLL_TO = 4  # unrolled factors are 5-12 times faster than LAPACK at d = 2..4, but their compile time grows like d³ and more


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
    """
    d = matrix.shape[-1]
    if d > UNROLL_TO:
        factor = jnp.linalg.cholesky(matrix)
        eye = jnp.broadcast_to(jnp.eye(d, dtype=matrix.dtype), matrix.shape)
        return lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
    lower: dict[tuple[int, int], jax.Array] = {}
    inverse_diagonal = []
    for i in range(d):
        for j in range(i + 1):
            rest = matrix[..., i, j] - sum((lower[i, q] * lower[j, q] for q in range(j)), start=0.0)
            if i == j:
                inverse_diagonal.append(1 / jnp.sqrt(rest))
            else:
                lower[i, j] = rest * inverse_diagonal[j]
    inverse = {}
    for i in range(d):
        inverse[i, i] = inverse_diagonal[i]
        for j in range(i):
            inverse[i, j] = -sum(lower[i, q] * inverse[q, j] for q in range(j, i)) * inverse_diagonal[i]
    zero = jnp.zeros_like(matrix[..., 0, 0])
    rows = [jnp.stack([inverse[i, j] if j <= i else zero for j in range(d)], -1) for i in range(d)]
    return jnp.stack(rows, -2)
