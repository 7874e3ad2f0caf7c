"""When a Gaussian component is no cluster but a spike: too few rows, or next to no spread. Imports layer 0.

`collapsed` is asked inside the compiled program, after every step, and stops a run on its way there; `admissible` on the host, of what
the runs have come to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from ..._linalg import contract
from ..._typing import Array, Bool
from .params import GaussianParams, GaussianStats


if TYPE_CHECKING:
    from .family import Gaussian


SPIKE_IN_DATA = 1e-4  # a component this narrow in some direction, in units of the data's variance there, ...
SPIKE_WITHIN = 1e-2  # ... and of the pooled within-component variance, is a spike: clusters far apart are not
RESOLUTION = 1e-12  # in units of the data's variance: what is left below is rounding
ROWS_TO_SPARE = 0.5  # a fit is admissible when every component holds this many rows more than its covariance needs


def admissible(family: Gaussian, params: GaussianParams, counts: np.ndarray) -> np.ndarray:
    """Which runs are no spikes: enough rows everywhere, and no component next to singular in any direction.

    A component is narrow by two measures: the data's variance, in the units that the structure is equivariant in (sphered,
    column by column or one for all), and the pooled within-component covariance. Params and `counts` (l, k; infinite where
    there is no component) carry a lane axis; the answer has shape (l,).
    """
    whitener, spread = np.asarray(params.whitener, float), np.asarray(family.spread, float)
    eye = np.eye(len(spread))
    finite = np.asarray(np.isfinite(whitener).all((-1, -2)))
    sound = np.isfinite(np.linalg.slogdet(np.where(finite[..., None, None], whitener, 0.0))[1])
    whitener = np.where(sound[..., None, None], whitener, eye)
    if family.structure.scalable:
        size = spread if family.structure.linear else np.diag(np.diag(spread))
    else:
        size = np.diag(np.full(len(spread), (np.diag(spread) * family.scale**2).mean()) / family.scale**2)
    factor = np.linalg.inv(whitener)
    rows = np.where(np.isfinite(counts), counts, 0.0)
    share = rows / rows.sum(-1, keepdims=True)
    within = (share[..., None, None] * (factor @ np.swapaxes(factor, -1, -2))).sum(-3, keepdims=True)
    within = within + RESOLUTION * np.trace(within, axis1=-1, axis2=-2)[..., None, None] * eye
    in_data = _narrower(SPIKE_IN_DATA, whitener, np.linalg.cholesky(size + RESOLUTION * eye))
    in_pool = _narrower(SPIKE_WITHIN, whitener, np.linalg.cholesky(within))
    spike = in_data & in_pool | _narrower(RESOLUTION, whitener, eye)
    needed = family.rows_needed(len(spread))
    enough = counts >= family.unit * (needed + ROWS_TO_SPARE) * (needed > 0)
    return (sound & ~spike & enough).all(-1)


def collapsed(family: Gaussian, params: GaussianParams, stats: GaussianStats, live: Any) -> Bool[Array, ""]:
    """A live component holds too few rows for its own covariance, or next to no spread.

    The spread is d / trace(S Σ⁻¹), the harmonic mean of a component's variances relative to the data's S; below the resolution of sums
    over rows it is rounding. Rows are seen to run out three steps before the spread does; no converged run on the reference sets is
    within a quarter row of the limit. A component that is narrow beside the others is not stopped: where clusters are tight and far
    apart, each is for some steps, until the others have found theirs.
    """
    d = params.mean.shape[-1]
    size = jnp.broadcast_to(jnp.asarray(family.spread, params.mean.dtype), (d, d))
    spread = d / contract("kij,jl,kil->k", params.whitener, size, params.whitener)
    few = stats.count < family.unit * (family.rows_needed(d) - ROWS_TO_SPARE)
    return jnp.any(live & (few | (spread < RESOLUTION)))


def _narrower(least: float, whitener: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Which components have a variance below `least` in units of the covariance that `factor` is the Cholesky factor of."""
    product = whitener @ factor
    narrow = (product**2).sum((-2, -1)) > 1 / least  # a matrix's norm is at least its largest singular value: few are in doubt
    narrow[narrow] = np.linalg.svd(product[narrow], compute_uv=False)[:, 0] ** -2.0 < least
    return narrow
