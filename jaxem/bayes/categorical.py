"""The conjugate prior of categorical components. Imports layer 0, families and NumPyro."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._pytree import pytree, static
from .._typing import Array, Float
from ..families.categorical import Categorical, CategoricalParams, CategoricalStats


INSIDE = 1e-3  # a simplex has no coordinates where a probability is 0: there, a chain begins so far inside


@pytree
class CategoricalPrior:
    """Independent Dirichlet priors of the probabilities in every column.

    Attributes:
        strength: Dirichlet concentration of each category in every column, shape (d, m); what is beyond a column's own counts for nothing.
        concentration: Dirichlet concentration of each mixing weight.
        there: The numbers of each column's categories.
    References:
        Frühwirth-Schnatter 2006, Finite Mixture and Markov Switching Models, ch. 9; White & Murphy 2014, Journal of Statistical
        Software 61(13).
    """

    strength: Float[Array, "d m"]
    concentration: Any
    there: tuple[tuple[int, ...], ...] = static()

    family = "categorical"
    shared = ()
    sampler = "gibbs"
    hierarchical = False

    def sample_hyper(self, key: Any) -> None:
        """Nothing is learned beside the components."""
        return

    def sample(self, key: Any, num_components: int, hyper: Any = None) -> CategoricalParams:
        """Components from the prior."""
        return self._drawn(key, jnp.broadcast_to(self.strength, (num_components, *self.strength.shape)))

    def augment(
        self, key: Any, family: Any, params: CategoricalParams, x: Float[Array, "d n"], own: Float[Array, "k n"]
    ) -> tuple[CategoricalParams, CategoricalStats]:
        """Counts of the rows allocated to each component: nothing else is latent."""
        return params, family.expected_stats(params, x, own)

    def draw(self, key: Any, params: CategoricalParams, stats: CategoricalStats, hyper: Any = None) -> CategoricalParams:
        """Probabilities given the counts of the rows allocated to each component."""
        return self._drawn(key, self.strength + stats.total)

    def draw_hyper(self, key: Any, params: CategoricalParams, hyper: Any, live: Float[Array, " k"]) -> None:
        """Nothing is learned beside the components."""
        return

    def begin_hyper(self, params: CategoricalParams) -> None:
        """Nothing is learned beside the components."""
        return

    def publish(self, params: CategoricalParams) -> dict[str, Any]:
        """Probabilities (…, k, d, m)."""
        return {"probabilities": params.probability}

    def components(self, published: dict[str, Any]) -> CategoricalParams:
        """The inverse of `publish`."""
        return CategoricalParams(jnp.asarray(published["probabilities"]))

    def sites(self, num_components: int) -> CategoricalParams:
        """The prior as NumPyro statements: sites `probabilities_2`, …, of the columns with so many categories, and what they make up."""
        from . import sites

        return sites.categorical(self, num_components)

    def site_values(self, published: dict[str, Any]) -> dict[str, Any]:
        """Values of the sampled sites, from probabilities (k, d, m); none is quite 0, where a simplex has no inside."""
        chance = jnp.asarray(published["probabilities"])
        out = {}
        for size, columns in self.alike().items():
            own = jnp.stack([chance[:, j, np.array(self.there[j])] for j in columns], axis=1) + INSIDE
            out[f"probabilities_{size}"] = own / jnp.sum(own, axis=-1, keepdims=True)
        return out

    def alike(self) -> dict[int, list[int]]:
        """Numbers of the columns with the same number of categories, two or more, by that number."""
        sizes = sorted({len(own) for own in self.there if len(own) > 1})
        return {size: [j for j, own in enumerate(self.there) if len(own) == size] for size in sizes}

    def _drawn(self, key: Any, strength: Float[Array, "k d m"]) -> CategoricalParams:
        exists = self.exists()
        logs = jax.random.loggamma(key, jnp.where(exists, strength, 1.0))
        return CategoricalParams(jax.nn.softmax(jnp.where(exists, logs, -jnp.inf)))

    def known(self) -> Categorical:
        """The family with these categories."""
        return Categorical(self.exists().astype(float))

    def exists(self) -> np.ndarray:
        """Which categories each column has, (d, m)."""
        out = np.zeros(self.strength.shape, bool)
        for j, own in enumerate(self.there):
            out[j, list(own)] = True
        return out
