"""The conjugate prior of Poisson components. Imports layer 0, families and NumPyro."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._pytree import pytree
from .._typing import Array, Float
from ..families.poisson import PoissonParams, PoissonStats


@pytree
class PoissonPrior:
    """Independent gamma priors of the rates, whose own rate may be learned from the data.

    Attributes:
        shape: Shape of the gamma prior in every column, shape (d,).
        rate: Its rate, shape (d,): rows that the prior is worth. None where it is learned.
        hyper_shape: Shape of the rate's own gamma prior, shape (d,), or None.
        hyper_rate: Rate of that gamma prior, shape (d,), or None.
        concentration: Dirichlet concentration of each mixing weight.
    References:
        Frühwirth-Schnatter 2006, Finite Mixture and Markov Switching Models, sec. 9.2.
    """

    shape: Float[Array, " d"]
    rate: Any
    hyper_shape: Any
    hyper_rate: Any
    concentration: Any

    family = "poisson"
    shared = ()
    sampler = "gibbs"

    @property
    def hierarchical(self) -> bool:
        """Whether the rate of the gamma prior is learned."""
        return self.rate is None

    def sample_hyper(self, key: Any) -> Any:
        """The rate of the gamma prior from its own prior."""
        return jax.random.gamma(key, jnp.asarray(self.hyper_shape)) / self.hyper_rate if self.hierarchical else None

    def sample(self, key: Any, num_components: int, hyper: Any = None) -> PoissonParams:
        """Components from the prior."""
        shape = jnp.broadcast_to(self.shape, (num_components, *self.shape.shape))
        return PoissonParams(jax.random.gamma(key, shape) / self._rate(hyper))

    def augment(
        self, key: Any, family: Any, params: PoissonParams, x: Float[Array, "d n"], own: Float[Array, "k n"]
    ) -> tuple[PoissonParams, PoissonStats]:
        """Sums of the rows allocated to each component: nothing else is latent."""
        return params, family.expected_stats(params, x, own)

    def draw(self, key: Any, params: PoissonParams, stats: PoissonStats, hyper: Any = None) -> PoissonParams:
        """Rates given the sums of the rows allocated to each component."""
        gammas = jax.random.gamma(key, self.shape + stats.total)
        return PoissonParams(gammas / (self._rate(hyper) + stats.count[:, None]))

    def draw_hyper(self, key: Any, params: PoissonParams, hyper: Any, live: Float[Array, " k"]) -> Any:
        """The rate of the gamma prior given the live components."""
        if not self.hierarchical:
            return hyper
        shape = self.hyper_shape + self.shape * jnp.sum(live)
        return jax.random.gamma(key, shape) / (self.hyper_rate + live @ params.rate)

    def begin_hyper(self, params: PoissonParams) -> Any:
        """The mean of the rate given all components."""
        if not self.hierarchical:
            return None
        return (self.hyper_shape + self.shape * params.rate.shape[0]) / (self.hyper_rate + jnp.sum(params.rate, 0))

    def publish(self, params: PoissonParams) -> dict[str, Any]:
        """Rates (…, k, d)."""
        return {"rates": params.rate}

    def components(self, published: dict[str, Any]) -> PoissonParams:
        """The inverse of `publish`."""
        return PoissonParams(jnp.asarray(published["rates"]))

    def sites(self, num_components: int) -> PoissonParams:
        """The prior as NumPyro statements: site `rates`."""
        from . import sites

        return sites.poisson(self, num_components)

    def site_values(self, published: dict[str, Any]) -> dict[str, Any]:
        """Values of the sampled sites, from rates (k, d)."""
        rates = jnp.asarray(published["rates"])
        return {"rates": rates} | ({"scale": self.begin_hyper(PoissonParams(rates))} if self.hierarchical else {})

    def _rate(self, hyper: Any) -> Any:
        return hyper if self.hierarchical else self.rate
