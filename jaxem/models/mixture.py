"""The finite mixture: mixing weights over one family. Imports layers 0 and 1.

An absent component is one whose log-weight is −inf: its responsibilities and statistics are exactly 0, and its params stay where
they were. Mixtures of several component counts can therefore share one program, padded to the largest.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from .._pytree import pytree
from .._typing import Array, Bool, Float, Scalar
from ..protocol import Data


@pytree
class MixtureParams:
    """Params of a mixture.

    Attributes:
        log_weights: Log mixing weights, shape (k,); −inf for an absent component.
        components: The family's params, component axis first.
    """

    log_weights: Float[Array, " k"]
    components: Any


@pytree
class Mixture:
    """A finite mixture of one family: a `LatentModel`.

    Attributes:
        family: The components' `Family`.
    """

    family: Any

    def log_joint(self, params: MixtureParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """log p(component, row)."""
        return self.family.log_prob(params.components, x) + params.log_weights[:, None]

    def e_step(self, params: MixtureParams, data: Data) -> tuple[Any, Scalar]:
        """Weighted statistics of every component and the log-likelihood."""
        joint = self.log_joint(params, data.x)
        top = jnp.max(joint, axis=0)
        # The barriers keep XLA from computing exp twice, once for the sum and once for the product.
        unnormalised = lax.optimization_barrier(jnp.exp(joint - top))
        total = lax.optimization_barrier(jnp.sum(unnormalised, axis=0))
        scale = lax.optimization_barrier(data.weight / total)
        stats = self.family.expected_stats(params.components, data.x, unnormalised * scale)
        return stats, jnp.sum(data.weight * (top + jnp.log(total)))

    def m_step(self, params: MixtureParams, stats: Any) -> MixtureParams:
        """New mixing weights and components."""
        log_weights = jnp.log(stats.count) - jnp.log(jnp.sum(stats.count))
        return MixtureParams(log_weights, self.family.m_step(params.components, stats))

    def magnitude(self, stats: Any) -> Scalar:
        """The rows' total weight: in internal units each has a log-density of the order of one nat, of either sign."""
        return jnp.sum(stats.count)

    def complete(self, params: MixtureParams, stats: Any, at: MixtureParams) -> Scalar:
        """Expected complete-data log-likelihood of `params`, given the statistics of an E-step at `at`."""
        live = stats.count > 0
        weights = jnp.sum(jnp.where(live, stats.count * jnp.where(live, params.log_weights, 0.0), 0.0))
        return weights + self.family.complete(params.components, stats, at.components)

    def to_free(self, params: MixtureParams) -> MixtureParams:
        """Log-weights as they are, components in the family's free coordinates."""
        return MixtureParams(params.log_weights, self.family.to_free(params.components))

    def from_free(self, free: MixtureParams) -> MixtureParams:
        """The inverse of `to_free`; log-weights that an extrapolation has moved off the simplex are put back on it."""
        top = jnp.max(free.log_weights)
        log_weights = free.log_weights - top - jnp.log(jnp.sum(jnp.exp(free.log_weights - top)))
        return MixtureParams(log_weights, self.family.from_free(free.components))

    def collapsed(self, params: MixtureParams, stats: Any) -> Bool[Array, ""]:
        """Whether a component is on its way to a degenerate solution."""
        return self.family.collapsed(params.components, stats, params.log_weights > -jnp.inf)
