"""The telescoping sampler: Gibbs for mixtures whose number of components is unknown, one compiled scan. Layers 0 to 2, prior and mixing.

A sweep draws allocations, puts the filled components first, draws them given their rows, draws K given the partition alone, adds
K − filled components from the prior, and draws the weights. The order within a sweep keeps each draw a full conditional.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from .._pytree import pytree
from .._typing import Array, Float, Int, Scalar
from ..models.mixture import Mixture, MixtureParams
from .gibbs import allocate
from .mixing import draw_concentration
from .model import family_of


@pytree
class State:
    """What the next sweep needs.

    Attributes:
        labels: Component of each row, (n,).
        components: The family's params, components that are not there included.
        hyper: The hyperparameter of a hierarchical prior, or None.
        size: K.
        gamma: The concentration.
    """

    labels: Int[Array, " n"]
    components: Any
    hyper: Any
    size: Scalar
    gamma: Scalar


@pytree
class Told:
    """What a sweep says of itself.

    Attributes:
        size: K.
        filled: Components that have rows.
        gamma: The concentration.
        log_likelihood: Of the mixture, in nats.
    """

    size: Any
    filled: Any
    gamma: Any
    log_likelihood: Any


def begin(prior: Any, mixing: Any, max_components: int, x: Float[Array, "d n"], labels: Int[Array, " n"]) -> State:
    """The state at given allocations: every component is that of all rows together."""
    family = family_of(prior)
    crude = family.reference(1, x.shape[0], x.dtype)
    whole = family.m_step(crude, family.expected_stats(crude, x, jnp.ones((1, x.shape[1]))))
    components = jax.tree.map(lambda leaf: jnp.repeat(leaf, max_components, axis=0), whole)
    gamma = mixing.concentration.begin()
    return State(labels, components, prior.begin_hyper(whole), jnp.max(labels) + 1.0, gamma)


def sweep(key: Any, prior: Any, mixing: Any, x: Float[Array, "d n"], state: State) -> tuple[State, MixtureParams, Told, Any]:
    """One sweep: the new state, the mixture whose rows were allocated, what to tell, and p(K) given the partition."""
    family = family_of(prior)
    keys = jax.random.split(key, 7)
    many = jax.tree.leaves(state.components)[0].shape[0]
    here = jnp.arange(many)
    counts = jnp.sum(state.labels == here[:, None], axis=1)
    order = jnp.argsort(counts == 0, stable=True)
    counts, labels = counts[order].astype(x.dtype), jnp.argsort(order)[state.labels]
    filled = jnp.sum(counts > 0)

    components = jax.tree.map(lambda leaf: leaf[order], state.components)
    hyper = prior.draw_hyper(keys[0], components, state.hyper, (here < filled).astype(x.dtype))
    components, stats = prior.augment(keys[6], family, components, x, (labels == here[:, None]).astype(x.dtype))
    components = prior.draw(keys[1], components, stats, hyper)

    log_size = mixing.log_size(counts, state.gamma)
    size = 1.0 + jax.random.categorical(keys[2], log_size)
    gamma = draw_concentration(keys[3], mixing, counts, size, state.gamma)
    params = MixtureParams(mixing.draw_weights(keys[4], counts, size, gamma), components)
    labels, log_likelihood = allocate(keys[5], Mixture(family).log_joint(params, x))
    told = Told(size.astype(jnp.int32), filled.astype(jnp.int32), gamma, log_likelihood)
    return State(labels, components, hyper, size, gamma), params, told, jnp.exp(log_size)


@functools.partial(jax.jit, static_argnames=("max_components", "num_kept", "thin"))
def chains(
    keys: Any,
    prior: Any,
    mixing: Any,
    x: Float[Array, "d n"],
    labels: Int[Array, "c n"],
    max_components: int,
    num_kept: int,
    thin: int,
) -> tuple[Told, Any, MixtureParams, Any]:
    """Chains in one program; every sweep tells of K, and every `thin`-th is kept whole.

    Args:
        keys: One JAX key a chain.
        prior: A `Prior`.
        mixing: A `FiniteMixing` or a `ProcessMixing`.
        x: Rows, features first.
        labels: Where each chain begins.
        max_components: Components there is room for.
        num_kept: Blocks of `thin` sweeps.
        thin: Sweeps in a block.
    Returns:
        `Told` with axes (c, num_kept, thin); p(K) given the partition, averaged over each block, (c, num_kept, m); the mixture and the
        allocations at the end of each block, axes (c, num_kept) in front.
    """

    def one(carry: Any, key: Any) -> Any:
        state, _, total = carry
        state, params, told, share = sweep(key, prior, mixing, x, state)
        return (state, params, total + share / thin), told

    def block(state: State, key: Any) -> Any:
        nothing = MixtureParams(jnp.zeros(max_components), state.components)
        (state, params, share), told = jax.lax.scan(
            one, (state, nothing, jnp.zeros(max_components)), jax.random.split(key, thin)
        )
        return state, (told, share, params, state.labels.astype(jnp.int16))

    def chain(key: Any, start: Any) -> Any:
        state = begin(prior, mixing, max_components, x, start)
        return jax.lax.scan(block, state, jax.random.split(key, num_kept))[1]

    return jax.vmap(chain)(keys, labels)
