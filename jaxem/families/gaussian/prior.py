"""The conjugate prior of Gaussian components as pseudo-rows: what an M-step and a log-prior need of it. Imports layer 0.

Where Σ is inverse Wishart with ν and Λ, and μ given Σ normal about m with covariance Σ/κ, the posterior of a component has its mode
where the likelihood has it for c = n + 1 + ν + d + 1 rows of scatter W + κn/(n + κ) (x̄ − m)(x̄ − m)ᵀ + Λ about (n x̄ + κm)/(n + κ). The
best covariances of any structure under the prior are therefore those that it has for such rows.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._linalg import contract
from ..._pytree import pytree
from ..._typing import Array, Float, Scalar
from .structure import Structure


FLOORED = ("EII", "VII", "EEI", "VVI", "EEE", "VVV")  # where the best covariances above a floor have a closed form


@pytree
class GaussianPrior:
    """The prior of every component, in internal units.

    Attributes:
        mean: m, shape (d,).
        shrinkage: κ; 0 for no prior on the means.
        count: Rows that the prior of a covariance counts for; 0 for none.
        scatter: Λ, shape (d, d).
        log_volume: What log-determinants of covariances are measured from, so that the log-prior does not depend on units.
        least: What no covariance may be below in any direction, shape (d, d); None where there is no floor.
    """

    mean: Float[Array, " d"]
    shrinkage: Any
    count: Any
    scatter: Float[Array, "d d"]
    log_volume: Any
    least: Float[Array, "d d"] | None = None

    @property
    def holds(self) -> Any:
        """Whether it keeps covariances from degenerating, however few the rows."""
        return (self.count > 0) | (self.least is not None)

    def add(
        self, structure: Structure, mean: Float[Array, "k d"], own: Float[Array, "k d d"], count: Float[Array, " k"]
    ) -> tuple[Float[Array, "k d"], Float[Array, "k d d"], Float[Array, " k"]]:
        """Means, covariances and counts of the rows, with the pseudo-rows added to every component that has some."""
        live = count > 0
        weight = self.shrinkage / jnp.where(live, count + self.shrinkage, 1.0)
        away = mean - self.mean
        copies = self._copies(structure, live)
        total = count + live * (self.shrinkage > 0) + copies * self.count
        between = (count * weight)[:, None, None] * away[:, :, None] * away[:, None, :]
        scatter = count[:, None, None] * own + between + copies[:, None, None] * self.scatter
        return mean - weight[:, None] * away, scatter / jnp.where(live, total, 1.0)[:, None, None], total

    def _copies(self, structure: Structure, live: Any) -> Float[Array, " k"]:
        """How much of the prior of a covariance each component brings: all, or a share where all have one covariance."""
        return live * jnp.where(structure.single, 1 / jnp.sum(live), 1.0)

    def log_density(self, structure: Structure, mean: Any, whitener: Any, log_det: Any, live: Any) -> Scalar:
        """Log-prior of the components up to a constant; `log_det` is that of their whiteners."""
        copies = self._copies(structure, live)
        rows = (self.shrinkage > 0) + copies * self.count
        away = contract("kij,kj->ki", whitener, mean - self.mean)
        spread = contract("kij,jl,kil->k", whitener, self.scatter, whitener)
        terms = rows * (log_det + 0.5 * self.log_volume) - 0.5 * (self.shrinkage * jnp.sum(away**2, -1) + copies * spread)
        return jnp.sum(jnp.where(live, terms, 0.0))


def settled(prior: Any, structure: Structure, num_components: int, mean: np.ndarray, covariance: np.ndarray) -> dict[str, Any]:
    """The numbers of a `Prior` for a structure and K, in the data's units: `scale` a number for spheres, a matrix for the others.

    Args:
        prior: A `Prior` for these columns.
        structure: The structure.
        num_components: K.
        mean: The data's mean, shape (d,).
        covariance: The data's covariance, divisor n − 1, shape (d, d).
    Raises:
        ValueError: if dof is impossible for the structure, or there is no exact M-step under a floor.
    """
    d, code, full = len(mean), structure.code, not structure.aligned
    dof, least = prior.dof, d - 1 if full else 0
    if dof is not None and not dof > least:
        raise ValueError(f"prior: dof must be above {least} for {d} columns and structure {code}, got {dof:g}")
    if prior.floor is not None and code not in FLOORED:
        raise ValueError(
            f"prior: floor is for VVV, EEE, VVI, EEI, VII and EII, whose best covariances above a floor have a closed form; "
            f"{code} has none: leave floor=None, or choose among those structures"
        )
    scale = prior.scale
    if scale is None:
        scale = (_whole(covariance) if full else np.diag(covariance).mean()) / num_components ** (2 / d)
    scale = np.diag(np.broadcast_to(scale, d)) if np.ndim(scale) < 2 else scale
    if not full:
        scale = np.diag(np.diag(scale))
    if not scale.any():
        dof = None
    elif dof is None:
        dof = float(d + 2)
    return {
        "shrinkage": prior.shrinkage,
        "dof": dof,
        "scale": float(np.diag(scale).mean()) if structure.spherical else scale.tolist(),
        "mean": (mean if prior.mean is None else prior.mean).tolist(),
        "concentration": 1.0 if prior.concentration is None else prior.concentration,
        "floor": prior.floor,
    }


def _whole(covariance: np.ndarray) -> np.ndarray:
    """The covariance, or its diagonal where it is singular to rounding."""
    size = np.sqrt(np.diag(covariance))
    regular = np.linalg.eigvalsh(covariance / np.outer(size, size))[0] > len(size) * np.finfo(float).eps
    return covariance if regular else np.diag(size**2)


def inside(
    told: dict[str, Any], structure: Structure, covariance: np.ndarray, centre: np.ndarray, scale: np.ndarray, dtype: Any
) -> GaussianPrior:
    """The `GaussianPrior` in internal units, which `scale` (d, d) takes to the data's, of what `settled` says."""
    d = len(centre)
    inward = np.linalg.inv(scale)
    wide = np.asarray(told["scale"]) if np.ndim(told["scale"]) else told["scale"] / d * np.eye(d)
    count = 0.0
    if told["dof"] is not None:
        count = (told["dof"] + 2) / d if structure.spherical else told["dof"] + (2 if structure.aligned else d + 1)
    numbers = [
        inward @ (np.asarray(told["mean"]) - centre),
        told["shrinkage"],
        count,
        inward @ wide @ inward.T,
        np.log(np.diag(covariance)).sum() - 2 * np.linalg.slogdet(scale)[1],
    ]
    if told["floor"] is None:
        return GaussianPrior(*(np.asarray(number, dtype) for number in numbers))
    variances = np.diag(covariance)
    size = np.diag(np.full(d, variances.mean()) if structure.spherical else variances)
    numbers.append(told["floor"] * inward @ (size if structure.aligned else _whole(covariance)) @ inward.T)
    return GaussianPrior(*(np.asarray(number, dtype) for number in numbers))
