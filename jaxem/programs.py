"""The compiled programs that run a block of lanes. Imports layers 0 to 2.

Each takes models and states (or params) with a leading lane axis, and data that all lanes share. States travel packed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from . import em
from ._compiler import quick_jit
from ._packing import Packed
from ._pytree import pytree, replace
from ._typing import Array, Float
from .devices import ROWS, shared, shares
from .patterns import everywhere
from .reduce import chunked, narrowed, sharded


def _advance(models, states, data, tol, max_steps, num_ticks, level, *, method, sizes, chunk, record, mesh):
    """States after a few steps, and the objectives on the way; no lane has more than `sizes[level]` components."""

    def advance(models, states, data, tol, max_steps, num_ticks, level):
        models, states = models.unpack(), states.unpack()

        def step(model, state):
            e_step = _over_rows(model.e_step, chunk, mesh)
            ways = [narrowed(e_step, size) for size in sizes]
            return method.step(model, state, data, tol, lambda params, data: lax.switch(level, ways, params, data))

        batched = jax.vmap(step)
        states, trace = em.advance(
            lambda states: batched(models, states), states, max_steps=max_steps, num_ticks=num_ticks, record=record
        )
        return Packed.of(states, jnp), trace

    return shared(advance, mesh, (0, 1))(models, states, data, tol, max_steps, num_ticks, level)


def _over_rows(e_step, chunk, mesh):
    """The sum over all rows, a chunk at a time, wherever they are."""
    e_step = chunked(e_step, chunk)
    return sharded(e_step, ROWS) if shares(mesh, ROWS) > 1 else e_step


def _as_given(models, states, *rest):
    """What `_advance` gives has the structure of what it takes."""
    return states, 0


_STATIC = ("method", "sizes", "chunk", "record", "mesh")
advance = quick_jit(*_STATIC, like=_as_given)(_advance)
advance_small = quick_jit(*_STATIC, hasty=True, like=_as_given)(_advance)  # for blocks that fit into the cache


@quick_jit("method", hasty=True)
def begin(models, params, resp, data, *, method):
    """States that begin with an M-step on responsibilities (l, k, n)."""

    def lane(model, params, resp):
        stats = model.expected_stats(params, data, resp)
        if getattr(model.family, "residuals", False):
            # Moments about a crude point lose digits; about the means that they give, they do not.
            params = replace(params, components=_with_means(params.components, model.m_step(params, stats).components))
            stats = model.expected_stats(params, data, resp)
        return method.from_stats(model, params, stats)

    return Packed.of(jax.vmap(lane)(models, params, resp), jnp)


def _with_means(components, better):
    return replace(components, mean=better.mean)


@quick_jit("method", hasty=True)
def begin_at(models, params, data, *, method):
    """States whose first step is an E-step at params; one row tells all that is asked of the data."""
    return Packed.of(jax.vmap(lambda model, params: method.from_params(model, params, data))(models, params), jnp)


@quick_jit("method", "chunk")
def begin_after(models, params, data, *, method, chunk):
    """States that begin with an M-step on what an E-step at params says; these need not obey the model, and are never reported."""

    def lane(model, params):
        stats, _ = chunked(model.e_step, chunk)(params, data)
        return method.from_stats(model, params, stats)

    return Packed.of(jax.vmap(lane)(models, params), jnp)


@pytree
class Summary:
    """Sums over the rows at one fit.

    Attributes:
        log_likelihood: Σ w log p.
        log_assigned: Σ w log max_k z.
        entropy: −Σ w Σ z log z.
        sizes: Weight of the rows assigned to each component, shape (k,).
    """

    log_likelihood: Float[Array, "*l"]
    log_assigned: Float[Array, "*l"]
    entropy: Float[Array, "*l"]
    sizes: Float[Array, "*l k"]


@quick_jit("chunk", "mesh")
def summarise(models, params, data, *, chunk, mesh):
    """What a report needs of each fit, a `Summary`."""

    def lane(model, params, data):
        def sums(params, rows):
            joint = model.log_classes(params, rows)
            top = jnp.max(joint, axis=0)
            density = jnp.exp(joint - top)
            total = jnp.sum(density, axis=0)
            log_prob = top + jnp.log(total)
            own = jnp.argmax(joint, axis=0) == jnp.arange(joint.shape[0])[:, None]
            entropy = jnp.log(total) - jnp.sum(jnp.where(density > 0, density * (joint - top), 0.0), axis=0) / total
            totals = [jnp.sum(rows.weight * each) for each in (log_prob, top - log_prob, entropy)]
            return Summary(totals[0], totals[1], totals[2], jnp.sum(own * rows.weight, axis=1))

        return _over_rows(sums, chunk, mesh)(params, data)

    return shared(jax.vmap(lane, (0, 0, None)), mesh, 0)(models, params, data)


@quick_jit()
def posterior(models, params, data):
    """Responsibilities (l, k, n)."""

    def lane(model, params):
        return everywhere(lambda rows: jax.nn.softmax(model.log_classes(params, rows), axis=0), data)

    return jax.vmap(lane)(models, params)
