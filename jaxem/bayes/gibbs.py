"""The conjugate Gibbs sampler: one compiled scan, chains side by side. Imports layers 0 to 2 and prior.

A sweep is a step of EM with draws instead of expectations and maxima: allocations given params, then params given the statistics of the
rows allocated to each component.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._compiler import quick_jit
from .._pytree import pytree
from .._typing import Array, Float, Int, Scalar
from ..models.mixture import Mixture, MixtureParams
from .model import family_of
from .prior import Prior, log_dirichlet


@pytree
class GibbsState:
    """What the next sweep needs.

    Attributes:
        params: The mixture's params.
        hyper: The hyperparameter of a hierarchical prior, or None.
    """

    params: MixtureParams
    hyper: Any


def allocate(key: Any, joint: Float[Array, "k n"]) -> tuple[Int[Array, " n"], Scalar]:
    """A component for every row, by inversion, and the log-likelihood.

    Args:
        key: A JAX key.
        joint: log p(component, row) (`Mixture.log_joint`).
    """
    top = jnp.max(joint, axis=0)
    total = jnp.cumsum(jnp.exp(joint - top), axis=0)
    level = jax.random.uniform(key, top.shape, joint.dtype) * total[-1]
    labels = jnp.minimum(jnp.sum(total <= level, axis=0), joint.shape[0] - 1)
    return labels, jnp.sum(top + jnp.log(total[-1]))


def draw_components(key: Any, prior: Prior, family: Any, x: Any, labels: Any, state: GibbsState) -> GibbsState:
    """Hyperparameter, components and weights given allocations (n,); K is that of the state."""
    over, ours, weights, latent = jax.random.split(key, 4)
    components = state.params.components
    k = state.params.log_weights.shape[0]
    own = (labels == jnp.arange(k)[:, None]).astype(x.dtype)
    components, stats = prior.augment(latent, family, components, x, own)
    hyper = prior.draw_hyper(over, components, state.hyper, jnp.ones(k))
    components = prior.draw(ours, components, stats, hyper)
    return GibbsState(MixtureParams(log_dirichlet(weights, prior.concentration + stats.count), components), hyper)


def sweep(key: Any, prior: Prior, family: Any, x: Float[Array, "d n"], state: GibbsState) -> tuple[GibbsState, Scalar]:
    """One sweep; the new state, and the log-likelihood of the old one."""
    which, ours = jax.random.split(key)
    labels, log_likelihood = allocate(which, Mixture(family).log_joint(state.params, x))
    return draw_components(ours, prior, family, x, labels, state), log_likelihood


@quick_jit("num_warmup", "num_samples", hasty=True)
def chains(keys: Any, prior: Prior, x: Float[Array, "d n"], starts: Any, num_warmup: int, num_samples: int) -> Any:
    """Draws of several chains in one program.

    Args:
        keys: One JAX key a chain.
        prior: A `Prior`.
        x: Rows, features first.
        starts: `MixtureParams` with a chain axis in front.
        num_warmup: Sweeps before the first draw that is kept.
        num_samples: Draws kept of each chain, one a sweep.
    Returns:
        `GibbsState` with axes (chain, draw) in front.
    """
    family = family_of(prior)

    def chain(key, start):
        def step(state, key):
            state, _ = sweep(key, prior, family, x, state)
            return state, state

        state = GibbsState(start, prior.begin_hyper(start.components))
        warm, sampled = jax.random.split(key)
        steps = jnp.concatenate([jax.random.split(warm, num_warmup), jax.random.split(sampled, num_samples)])
        states = jax.lax.scan(step, state, steps)[1]  # one scan: a sweep is compiled once
        return jax.tree.map(lambda leaf: leaf[num_warmup:], states)

    return jax.vmap(chain)(keys, starts)
