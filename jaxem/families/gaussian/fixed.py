"""Gaussian components of which means or covariances are given. Imports layer 0 and family."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._linalg import vech
from ..._pytree import pytree
from ..._typing import Array, Bool
from .family import Gaussian
from .params import GaussianParams, GaussianStats


@pytree
class FixedGaussian(Gaussian):
    """Gaussian components with given means, given covariances, or both; the rest is estimated.

    Attributes:
        mean: Means in internal units, shape (k, d); None if they are free.
        whitener: Of the covariances in internal units, shape (k, d, d); None if they are free.
    """

    mean: Any = None
    whitener: Any = None

    @property
    def full(self) -> bool:
        """Whether covariances need not be diagonal, and are estimated."""
        return self.whitener is None and super().full

    def num_params(self, num_components: int, num_features: int) -> int:
        """What is left of the means and of the free entries of the covariances."""
        means = num_components * num_features if self.mean is None else 0
        return means + (self.structure.num_params(num_components, num_features) if self.whitener is None else 0)

    def rows_needed(self, num_features: int) -> Any:
        """None for covariances that are given."""
        return super().rows_needed(num_features) if self.whitener is None else 0

    def admissible(self, params: GaussianParams, counts: np.ndarray) -> np.ndarray:
        """Covariances that are given are no spikes, however few rows they have or narrow they are."""
        return super().admissible(params, counts) if self.whitener is None else np.ones(counts.shape[:-1], bool)

    def collapsed(self, params: GaussianParams, stats: GaussianStats, live: Any) -> Bool[Array, ""]:
        """Covariances that are given go nowhere."""
        return super().collapsed(params, stats, live) if self.whitener is None else jnp.asarray(False)

    def m_step(self, params: GaussianParams, stats: GaussianStats) -> GaussianParams:
        """Maximum-likelihood estimates of what is free: covariances are about the given means."""
        if self.mean is not None:
            stats = _about(self.mean - params.mean if self.residuals else self.mean, stats)
        found = super().m_step(params, stats)
        return GaussianParams(
            found.mean if self.mean is None else self.mean, found.whitener if self.whitener is None else self.whitener
        )


def _about(mean: Any, stats: GaussianStats) -> GaussianStats:
    """Moments whose means are the given ones, and whose covariances are the rows' about these."""
    count = jnp.where(stats.count > 0, stats.count, 1.0)[:, None]
    own = stats.first / count
    cross = mean[:, :, None] * (mean - own)[:, None, :]  # E (x − m)(x − m)ᵀ + m mᵀ = E x xᵀ + m (m − E x)ᵀ + (m − E x) mᵀ
    second = stats.second + stats.count[:, None] * vech(cross + cross.mT)
    return GaussianStats(stats.count, stats.count[:, None] * mean, second)


def fix(family: Any, given: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> FixedGaussian:
    """A bound family with some of its parameters at given values.

    Args:
        family: The family, bound to data.
        given: "means" (k, d), "covariances" (k, d, d) or both, in the data's units.
        centre: Of the internal units.
        scale: Of the internal units.
    Raises:
        ValueError: for another family, a covariance that is not positive definite, or covariances given to a structure of its own.
    """
    if not isinstance(family, Gaussian):
        what = " and ".join(given)
        raise ValueError(f"fixed holds {what} of Gaussian families, and this one is {family.name!r}: leave fixed=None")
    if "covariances" in given and family.name not in ("VVV", "V"):
        raise ValueError(
            f"fixed covariances leave no structure to estimate: use family='VVV' (or 'V' for one column), got {family.name!r}"
        )
    k = len(next(iter(given.values())))
    crude = family.publish(family.reference(k, len(scale), np.float64), centre, scale)
    try:
        params = family.adopt(crude | given, centre, scale)
    except ValueError as error:
        raise ValueError(f"fixed: {error}") from None
    dtype = np.asarray(family.spread).dtype
    fields = {name: getattr(family, name) for name in Gaussian.__dataclass_fields__}
    return FixedGaussian(
        **fields,
        mean=np.asarray(params.mean, dtype) if "means" in given else None,
        whitener=np.asarray(params.whitener, dtype) if "covariances" in given else None,
    )
