"""The conjugate samplers as problems of simulation-based calibration. Layers 0 to 2 and the samplers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._pytree import pytree, static
from ..models.mixture import Mixture, MixtureParams
from . import gibbs, telescoping
from .mixing import Concentration, FiniteMixing
from .model import family_of


@pytree
class KnownK:
    """The conjugate Gibbs sampler of a mixture with K components, for `sbc`.

    Attributes:
        prior: A proper `Prior`, from which components are drawn as well.
        num_components: K.
        num_rows: Rows of each data set.
        num_warmup: Sweeps before the first draw.
        thin: Sweeps from draw to draw.
    """

    prior: Any
    num_components: int = static(default=2)
    num_rows: int = static(default=60)
    num_warmup: int = static(default=600)
    thin: int = static(default=30)

    def simulate(self, key: Any) -> tuple[MixtureParams, Any]:
        """A mixture from the prior, and rows (d, n) from it."""
        keys = jax.random.split(key, 4)
        components = self.prior.sample(keys[0], self.num_components, self.prior.sample_hyper(keys[1]))
        weights = jnp.full(self.num_components, self.prior.concentration)
        params = MixtureParams(jax.nn.log_softmax(jax.random.loggamma(keys[2], weights)), components)
        return params, _rows(keys[3], self.prior, params, self.num_rows)

    def sample(self, key: Any, data: Any, num_draws: int) -> MixtureParams:
        """Mixtures from the posterior, after a start at random allocations."""
        k, family = self.num_components, family_of(self.prior)
        first, second, third = jax.random.split(key, 3)
        labels = jax.random.randint(first, (self.num_rows,), 0, k)
        begun = telescoping.begin(
            self.prior, FiniteMixing(jnp.zeros(k), Concentration(self.prior.concentration)), k, data, labels
        )
        state = gibbs.GibbsState(MixtureParams(jnp.full(k, -jnp.log(k)), begun.components), begun.hyper)
        state = gibbs.draw_components(second, self.prior, family, data, labels, state)

        def step(key: Any, state: Any) -> Any:
            state = gibbs.sweep(key, self.prior, family, data, state)[0]
            return state, state.params

        return _thinned(third, step, state, self, num_draws)

    def quantities(self, params: MixtureParams, data: Any) -> dict[str, Any]:
        """See `mixture_quantities`."""
        return mixture_quantities(self.prior, params, data)


@pytree
class UnknownK:
    """The telescoping sampler, for `sbc`.

    Attributes:
        prior: A proper `Prior`, from which components are drawn as well.
        mixing: A `FiniteMixing`.
        num_rows: Rows of each data set.
        num_warmup: Sweeps before the first draw.
        thin: Sweeps from draw to draw.
    """

    prior: Any
    mixing: Any
    num_rows: int = static(default=40)
    num_warmup: int = static(default=600)
    thin: int = static(default=30)

    def simulate(self, key: Any) -> tuple[MixtureParams, Any]:
        """K, concentration and a mixture from the prior, and rows (d, n) from it."""
        keys = jax.random.split(key, 6)
        most = self.mixing.log_prior_k.shape[0]
        size = 1.0 + jax.random.categorical(keys[0], self.mixing.log_prior_k)
        gamma = self.mixing.concentration.sample(keys[1])
        components = self.prior.sample(keys[2], most, self.prior.sample_hyper(keys[3]))
        params = MixtureParams(self.mixing.draw_weights(keys[4], jnp.zeros(most), size, gamma), components)
        return params, _rows(keys[5], self.prior, params, self.num_rows)

    def sample(self, key: Any, data: Any, num_draws: int) -> MixtureParams:
        """Mixtures from the posterior, after a start at random allocations."""
        most = self.mixing.log_prior_k.shape[0]
        first, second = jax.random.split(key)
        labels = jax.random.randint(first, (self.num_rows,), 0, most)
        state = telescoping.begin(self.prior, self.mixing, most, data, labels)

        def step(key: Any, state: Any) -> Any:
            return telescoping.sweep(key, self.prior, self.mixing, data, state)[:2]

        return _thinned(second, step, state, self, num_draws)

    def quantities(self, params: MixtureParams, data: Any) -> dict[str, Any]:
        """K, and what `mixture_quantities` has."""
        size = jnp.sum(params.log_weights > -jnp.inf).astype(float)
        return {"num_components": size} | mixture_quantities(self.prior, params, data)


def mixture_quantities(prior: Any, params: MixtureParams, data: Any) -> dict[str, Any]:
    """Numbers of a mixture that do not depend on labels: weights, locations and sizes of components, and the log-likelihood.

    Args:
        prior: Of the components; it names their family.
        params: The mixture.
        data: Rows, (d, n).
    """
    weights, live = jnp.exp(params.log_weights), params.log_weights > -jnp.inf
    log_likelihood = jnp.sum(jax.nn.logsumexp(Mixture(family_of(prior)).log_joint(params, data), axis=0))
    out = {"log_likelihood": log_likelihood, "largest_weight": jnp.max(weights)}
    if hasattr(params.components, "rate"):
        place = params.components.rate[:, 0]
    else:
        normal = getattr(params.components, "normal", params.components)  # of t components
        place = normal.mean[:, 0]
        log_det = -2 * jnp.sum(jnp.log(jnp.diagonal(normal.whitener, axis1=-2, axis2=-1)), -1)
        out |= {"smallest_log_det": jnp.min(jnp.where(live, log_det, jnp.inf))}
        out |= {"mean_log_det": jnp.sum(jnp.where(live, weights * log_det, 0.0))}
    lowest, highest = jnp.min(jnp.where(live, place, jnp.inf)), jnp.max(jnp.where(live, place, -jnp.inf))
    return out | {"lowest": lowest, "highest": highest, "mean": jnp.sum(jnp.where(live, weights * place, 0.0))}


def _rows(key: Any, prior: Any, params: MixtureParams, num_rows: int) -> Any:
    which, rows = jax.random.split(key)
    labels = jax.random.categorical(which, params.log_weights, shape=(num_rows,))
    return family_of(prior).sample(rows, params.components, labels)


def _thinned(key: Any, step: Any, state: Any, problem: Any, num_draws: int) -> Any:
    """Every `thin`-th mixture of a chain, after `num_warmup` sweeps; one scan, so that the sweep is compiled once."""
    skipped = -(-problem.num_warmup // problem.thin)

    def block(state: Any, key: Any) -> Any:
        state, params = jax.lax.scan(lambda s, key: step(key, s), state, jax.random.split(key, problem.thin))
        return state, jax.tree.map(lambda leaf: leaf[-1], params)

    draws = jax.lax.scan(block, state, jax.random.split(key, skipped + num_draws))[1]
    return jax.tree.map(lambda leaf: leaf[skipped:], draws)
