"""The finite mixture: mixing weights over one family. Imports layers 0 and 1.

An absent component is one whose log-weight is −inf: its responsibilities and statistics are exactly 0, and its params stay where
they were. Mixtures of several component counts can therefore share one program, padded to the largest.

The weights may add up to less than 1: what is left is the weight of the noise, a class of known, constant density.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from .._pytree import pytree, static
from .._typing import Array, Bool, Float, Scalar
from ..patterns import as_seen
from ..protocol import Data


@pytree
class MixtureParams:
    """Params of a mixture.

    Attributes:
        log_weights: Log mixing weights, shape (k,); −inf for an absent component.
        components: The family's params, component axis first.
    """

    log_weights: Float[Array, "*l k"]
    components: Any


@pytree
class NoisyStats:
    """Statistics of a mixture with noise.

    Attributes:
        components: The family's.
        noise: Rows, or their weight, that are noise.
    """

    components: Any
    noise: Scalar

    @property
    def count(self) -> Float[Array, " k"]:
        """Rows of each component."""
        return self.components.count


@pytree
class Mixture:
    """A finite mixture of one family: a `LatentModel`.

    Attributes:
        family: The components' `Family`.
        noise: Log-density of the noise, in the units of the rows, and column by column, shape (d,), where cells are missing; None
            where there is none (Banfield & Raftery 1993, Biometrics 49, sec. 3.3).
        concentration: Of the Dirichlet prior of the weights, that of the noise included; None for maximum likelihood, when the
            family has no prior either.
        equal_weights: Whether all components have the same weight.
    """

    family: Any
    noise: Any = None
    concentration: Any = None
    equal_weights: bool = static(default=False)

    @property
    def smooth(self) -> bool:
        """Whether the objective has a gradient everywhere, and `complete` to take it from."""
        return hasattr(self.family, "complete") and getattr(self.family, "smooth", True)

    @property
    def shareable(self) -> bool:
        """Whether several CPU devices may run its steps at the same time: see `devices.mesh_for`."""
        return getattr(self.family, "shareable", False)

    def log_joint(self, params: MixtureParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """log p(component, row)."""
        return log_joint(self.family, params, x)

    def log_components(self, params: MixtureParams, data: Data) -> Float[Array, "k n"]:
        """log p(component, cells that are there)."""
        return log_joint(as_seen(self.family, params.components, data), params, data.x)

    def log_classes(self, params: MixtureParams, data: Data) -> Float[Array, "c n"]:
        """log p(class, row) of all that a row may come from: the components that its label permits and, last, the noise."""
        joint = self._permitted(self.log_components(params, data), data)
        if self.noise is None:
            return joint
        return jnp.concatenate([joint, jnp.broadcast_to(self._log_noise(params, data), joint[:1].shape)])

    def _permitted(self, joint: Float[Array, "k n"], data: Data) -> Float[Array, "k n"]:
        """−inf for the components that a row's label rules out."""
        if data.label is None:
            return joint
        others = (data.label >= 0) & (data.label != jnp.arange(len(joint))[:, None])
        return jnp.where(others, -jnp.inf, joint)

    def _log_noise(self, params: MixtureParams, data: Data) -> Any:
        """log p(noise, row): the same for all rows but those of known origin."""
        density: Any = self.noise
        if jnp.ndim(density):  # column by column
            density = jnp.sum(jnp.where(_lacks(data), 0.0, density))
        value = _log_rest(params.log_weights) + density
        return value if data.label is None else jnp.where(data.label >= 0, -jnp.inf, value)

    def e_step(self, params: MixtureParams, data: Data) -> tuple[Any, Scalar]:
        """Weighted statistics of every component and the log-likelihood."""
        family = as_seen(self.family, params.components, data)
        joint = self._permitted(log_joint(family, params, data.x), data)
        top = jnp.max(joint, axis=0)
        if self.noise is not None:
            noise = self._log_noise(params, data)
            top = jnp.maximum(top, noise)
        # No result depends on it, and the derivative of a maximum asks which entry equals it: none does where XLA rounds it otherwise.
        top = lax.stop_gradient(top)
        # The barriers keep XLA from computing exp twice, once for the sum and once for the product.
        unnormalised = lax.optimization_barrier(jnp.exp(joint - top))
        total = lax.optimization_barrier(jnp.sum(unnormalised, axis=0))
        if self.noise is not None:
            own = jnp.exp(noise - top)
            total = total + own
        scale = lax.optimization_barrier(data.weight / total)
        stats = family.expected_stats(params.components, data.x, unnormalised * scale)
        if self.noise is not None:
            stats = NoisyStats(stats, jnp.sum(own * scale))
        return stats, jnp.sum(data.weight * (top + jnp.log(total)))

    def expected_stats(self, params: MixtureParams, data: Data, resp: Float[Array, "k n"]) -> Any:
        """The same statistics from given responsibilities; what they lack of 1 in a row is noise."""
        stats = self.family.expected_stats(params.components, data.x, resp * data.weight)
        if self.noise is None:
            return stats
        return NoisyStats(stats, jnp.sum(data.weight * (1 - jnp.sum(resp, axis=0))))

    def m_step(self, params: MixtureParams, stats: Any) -> MixtureParams:
        """New mixing weights and components."""
        count, own = stats.count, self._of_components(stats)
        total = self.magnitude(stats)
        log_weights = jnp.log(count) - jnp.log(total)
        if self.concentration is not None:
            rows = self.concentration - 1
            more = jnp.where(count > 0, rows, 0.0)
            classes = jnp.sum(more) + (0.0 if self.noise is None else rows)
            log_weights = jnp.log(count + more) - jnp.log(total + classes)
        if self.equal_weights:
            present = count > 0
            log_weights = jnp.where(present, jnp.log(jnp.sum(count) / total) - jnp.log(jnp.sum(present)), -jnp.inf)
        return MixtureParams(log_weights, self.family.m_step(params.components, own))

    def _of_components(self, stats: Any) -> Any:
        """The family's statistics."""
        return stats if self.noise is None else stats.components

    def magnitude(self, stats: Any) -> Scalar:
        """The rows' total weight: in internal units each has a log-density of the order of one nat, of either sign."""
        total = jnp.sum(stats.count)
        return total if self.noise is None else total + stats.noise

    def complete(self, params: MixtureParams, stats: Any, at: MixtureParams) -> Scalar:
        """Expected complete-data log-likelihood of `params`, given the statistics of an E-step at `at`."""
        live = stats.count > 0
        weights = jnp.sum(jnp.where(live, stats.count * jnp.where(live, params.log_weights, 0.0), 0.0))
        if self.noise is not None:
            weights = weights + stats.noise * _log_rest(params.log_weights)
        return weights + self.family.complete(params.components, self._of_components(stats), at.components)

    def log_prior(self, params: MixtureParams) -> Scalar:
        """Log-prior up to a constant; 0 where there is none."""
        if self.concentration is None:
            return jnp.asarray(0.0)
        live = params.log_weights > -jnp.inf
        weights = jnp.sum(jnp.where(live, params.log_weights, 0.0))
        if self.noise is not None:
            weights = weights + _log_rest(params.log_weights)
        weights = 0.0 if self.equal_weights else (self.concentration - 1) * weights
        return weights + self.family.log_prior(params.components, live)

    def num_params(self, num_components: int, num_features: int) -> int:
        """Free parameters; noise has two, its weight and the volume that its density was taken from, as in mclust."""
        weights = 0 if self.equal_weights else num_components - 1
        return weights + self.family.num_params(num_components, num_features) + (0 if self.noise is None else 2)

    def to_free(self, params: MixtureParams) -> MixtureParams:
        """Log-weights as they are, that of the noise last, and components in the family's free coordinates."""
        log_weights = params.log_weights
        if self.noise is not None:
            log_weights = jnp.append(log_weights, _log_rest(log_weights))
        return MixtureParams(log_weights, self.family.to_free(params.components))

    def from_free(self, free: MixtureParams) -> MixtureParams:
        """The inverse of `to_free`; log-weights that an extrapolation has moved off the simplex are put back on it.

        Where one is so large that its exponential overflows, the point is not finite, and no method takes it.
        """
        log_weights = free.log_weights - jnp.log(jnp.sum(jnp.exp(free.log_weights)))
        log_weights = log_weights if self.noise is None else log_weights[:-1]
        return MixtureParams(log_weights, self.family.from_free(free.components))

    def collapsed(self, params: MixtureParams, stats: Any) -> Bool[Array, ""]:
        """Whether a component is on its way to a degenerate solution."""
        return self.family.collapsed(params.components, self._of_components(stats), params.log_weights > -jnp.inf)


def log_joint(family: Any, params: MixtureParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
    """log p(component, row); a family may have a quicker way than to add log-weights to all densities."""
    method = getattr(family, "log_joint", None)
    if method is not None:
        return method(params.components, params.log_weights, x)
    return family.log_prob(params.components, x) + params.log_weights[:, None]


def _log_rest(log_weights: Float[Array, " k"]) -> Scalar:
    """Log of what the weights lack of 1; no less than can be told from 0."""
    return jnp.log(jnp.maximum(1 - jnp.sum(jnp.exp(log_weights)), jnp.finfo(log_weights.dtype).eps))


def _lacks(data: Data) -> Bool[Array, " d"]:
    """Which columns these rows lack."""
    if data.missing is None:
        return jnp.zeros(data.x.shape[0], bool)
    return jnp.any(data.missing[:, None] == jnp.arange(data.x.shape[0]), axis=0)
