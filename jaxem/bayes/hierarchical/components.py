"""What several models are made of: Gaussian components in a fixed order, and the units they are written in. Imports layer 0 and NumPyro.

Labels are fixed by order, not by hope: components ascend in one coordinate, the one that tells them apart best at the start. That is a
labelled version of the symmetric posterior, not another prior: the order statistics of exchangeable draws.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln

from ..._linalg import contract
from ..._typing import Array, Float


HALF_LOG_TAU = 0.5 * float(np.log(2 * np.pi))


class Ascending(dist.Distribution):
    """The order statistics of independent draws from one distribution.

    Args:
        base: A distribution of one real number.
        size: How many draws.
    """

    arg_constraints = {}  # noqa: RUF012 - NumPyro's form
    support: Any = dist.constraints.ordered_vector

    def __init__(self, base: dist.Distribution, size: int, *, validate_args: bool | None = None):
        self.base = base
        super().__init__((), (size,), validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        """Log-density of ascending vectors (..., k): k! times that of the draws in any order."""
        return jnp.sum(self.base.log_prob(value), -1) + gammaln(self.event_shape[0] + 1.0)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws, sorted."""
        return jnp.sort(self.base.sample(key, (*sample_shape, *self.event_shape)), axis=-1)


def ascending(name: str, width: Any, num_components: int, num_columns: int, order_by: int) -> Any:
    """A (k, p) matrix of N(0, width²) numbers whose rows ascend in one column, as the site `name` and those it is made of."""
    steps: Any = numpyro.sample(f"{name}_in_order", Ascending(dist.Normal(0.0, width), num_components))
    steps = steps[:, None]
    if num_columns == 1:
        return numpyro.deterministic(name, steps)
    others = dist.Normal(0.0, width).expand([num_components, num_columns - 1]).to_event(2)
    rest: Any = numpyro.sample(f"{name}_others", others)
    return numpyro.deterministic(name, jnp.concatenate([rest[:, :order_by], steps, rest[:, order_by:]], axis=1))


def ascending_values(name: str, values: np.ndarray, order_by: int) -> dict[str, Any]:
    """Values of the sites that `ascending` makes, from rows that ascend in the column `order_by`."""
    out = {f"{name}_in_order": values[:, order_by]}
    if values.shape[1] > 1:
        out[f"{name}_others"] = np.delete(values, order_by, axis=1)
    return out


def best_order(values: np.ndarray, spread: np.ndarray) -> tuple[int, np.ndarray]:
    """The column that tells rows apart best, and the order in which they ascend in it.

    Args:
        values: A row for each component, (k, p).
        spread: How uncertain each number is, (k, p) or (p,).
    """
    sharp = values / np.broadcast_to(spread, values.shape).mean(0)
    gaps = np.diff(np.sort(sharp, axis=0), axis=0)
    column = int(gaps.min(axis=0).argmax()) if len(values) > 1 else 0
    return column, np.argsort(values[:, column])


def gaussians(num_components: int, num_features: int, order_by: int) -> tuple[Any, Any]:
    """Means (k, d) and Cholesky factors (k, d, d) of Gaussian components, for rows in standard units.

    Means are N(0, 2²), standard deviations log-normal about 1/2 (sd 3/4 of the logarithm), correlations LKJ(1.5).
    """
    k, d = num_components, num_features
    means = ascending("means", 2.0, k, d, order_by)
    scales: Any = numpyro.sample("scales", dist.LogNormal(np.log(0.5), 0.75).expand([k, d]).to_event(2))
    factors = scales[:, :, None] * jnp.ones((1, 1, 1))
    if d > 1:
        factors = scales[:, :, None] * numpyro.sample("correlations", dist.LKJCholesky(d, 1.5).expand([k]).to_event(1))
    numpyro.deterministic("covariances", contract("kij,klj->kil", factors, factors))
    return means, numpyro.deterministic("factors", factors)


def gaussian_values(means: np.ndarray, covariances: np.ndarray, order_by: int) -> dict[str, Any]:
    """Values of the sites that `gaussians` makes; components must ascend already."""
    scales = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    out = ascending_values("means", means, order_by) | {"scales": scales}
    if means.shape[1] > 1:
        out["correlations"] = np.linalg.cholesky(covariances / scales[:, :, None] / scales[:, None, :])
    return out


def gaussian_log_prob(offsets: Float[Array, "n k d"], factors: Float[Array, "k d d"]) -> Float[Array, "n k"]:
    """Log-density of rows, given what separates them from each component's mean."""
    d = factors.shape[-1]
    whitener = solve_triangular(factors, jnp.broadcast_to(jnp.eye(d), factors.shape), lower=True)
    white = contract("kij,nkj->nki", whitener, offsets)
    log_det = jnp.sum(jnp.log(jnp.diagonal(factors, axis1=-2, axis2=-1)), -1)
    return -0.5 * jnp.sum(white**2, -1) - log_det - d * HALF_LOG_TAU


@dataclasses.dataclass(frozen=True)
class Standard:
    """The units a model is written in: every column centred and scaled.

    Attributes:
        centre: Means of the columns, (d,).
        scale: Their standard deviations, (d,).
    """

    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, columns: tuple[str, ...]) -> Standard:
        """The units of rows (n, d).

        Raises:
            ValueError: if a column is constant.
        """
        spread = x.std(axis=0)
        if not (spread > 0).all():
            raise ValueError(f"column {columns[int(spread.argmin())]!r} is constant: leave it out")
        return cls(x.mean(axis=0), spread)

    def into(self, x: np.ndarray) -> np.ndarray:
        """Rows in standard units."""
        return (x - self.centre) / self.scale

    def means(self, means: np.ndarray) -> np.ndarray:
        """Locations (..., d) in the data's units."""
        return means * self.scale + self.centre

    def covariances(self, covariances: np.ndarray) -> np.ndarray:
        """Covariances (..., d, d) in the data's units."""
        return covariances * self.scale[:, None] * self.scale

    @property
    def log_volume(self) -> float:
        """What a row's log-density loses in going to the data's units, in nats."""
        return float(np.log(self.scale).sum())
