"""The programs of lanes that each see a data set of their own, a block of lanes at a time. Imports layers 0 to 2 and lanes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .em import advance
from .lanes import TICKS
from .patterns import Patterned, everywhere
from .protocol import Data
from .reduce import chunked


def of_lanes(held: Data | Patterned, place: np.ndarray) -> Any:
    """The data of some lanes: their own where each has its own."""
    own = lambda axis, leaf: leaf if axis is None else leaf[place]  # noqa: E731
    return jax.tree.map(own, _axes(held), held, is_leaf=lambda leaf: leaf is None)


def _axes(data: Any) -> Any:
    """What of the data differs between lanes: 0, the axis of the lanes, in the place of these leaves, and None in that of the others."""

    def axis(path, leaf):
        names = [key.name for key in path]
        rows = {"x": 2, "weight": 1}.get(names[-1])  # axes of one lane's own
        return 0 if rows and leaf.ndim > rows + ("tiles" in names) else None

    return jax.tree_util.tree_map_with_path(axis, data)


def _advance(models, states, data, tol, max_steps, *, method, chunk):
    def step(model, state, own):
        return method.step(model, state, own, tol, chunked(model.e_step, chunk))

    batched = jax.vmap(step, in_axes=(0, 0, _axes(data)))
    ticks = jnp.asarray(TICKS, jnp.int32)
    return advance(lambda states: batched(models, states, data), states, max_steps=max_steps, num_ticks=ticks)[0]


def _begin(models, params, resp, data, *, method):
    def begin(model, params, resp, own):
        return method.from_stats(model, params, model.expected_stats(params, own, resp))

    return jax.vmap(begin, in_axes=(0, None, 0, _axes(data)))(models, params, resp, data)


def _begin_at(models, params, data, *, method):
    return jax.vmap(lambda *lane: method.from_params(*lane), in_axes=(0, 0, _axes(data)))(models, params, data)


def _log_joint(models, params, data):
    def joint(model, point, own):
        return everywhere(lambda rows: model.log_classes(point, rows), own)

    return jax.vmap(joint, in_axes=(0, 0, _axes(data)))(models, params, data)


advance_block = jax.jit(_advance, static_argnames=("method", "chunk"))
begin_block = jax.jit(_begin, static_argnames=("method",))
begin_block_at = jax.jit(_begin_at, static_argnames=("method",))
log_joint_block = jax.jit(_log_joint)
