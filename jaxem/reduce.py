"""Ways of summing over rows: wrappers that take an E-step and return an E-step. Imports layer 0, patterns and protocol.

An E-step's results are sums over rows, so they may be taken chunk by chunk: the responsibilities of all rows never exist at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .patterns import Patterned
from .protocol import Data


def chunked(e_step: Callable[[Any, Any], Any], chunk_size: int) -> Callable[[Any, Any], Any]:
    """The same E-step, `chunk_size` rows at a time.

    Memory falls from components × rows to components × `chunk_size`; the value changes by rounding only.

    Args:
        e_step: `(params, data) -> (stats, log_likelihood)`, additive over rows. Data are `Data`, or any pytree of arrays whose last
            axis goes over the rows: (d, n), (n,).
        chunk_size: Rows in a chunk, at least 1. Rows need not divide by it: the remainder is one smaller chunk.
    Raises:
        ValueError: if `chunk_size` is below 1; when it is called, if the arrays of the data differ in their last axes.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")

    def chunked_e_step(params: Any, data: Any) -> Any:
        if isinstance(data, Patterned):
            whole, tiles = chunked_e_step(params, data.whole), _over_tiles(e_step, chunk_size)(params, data.tiles)
            return jax.tree.map(jnp.add, whole, tiles)
        num_rows = _num_rows(data)
        if num_rows <= chunk_size:
            return e_step(params, data)
        num_chunks, rest = divmod(num_rows, chunk_size)

        def part(start, size: int):
            return e_step(params, jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, start, size, axis=-1), data))

        def add(i, total):
            return jax.tree.map(jnp.add, total, part(i * chunk_size, chunk_size))

        total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(lambda: part(0, chunk_size)))
        total = lax.fori_loop(0, num_chunks, add, total)
        return jax.tree.map(jnp.add, total, part(num_chunks * chunk_size, rest)) if rest else total

    return chunked_e_step


def _num_rows(data: Any) -> int:
    """The length of the last axis, which all arrays must share."""
    found = {jnp.shape(leaf)[-1:] for leaf in jax.tree.leaves(data)}
    if len(found) != 1 or found == {()}:
        shapes = ", ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(data))
        raise ValueError(
            f"chunked expects data whose arrays all have the rows along their last axis, (d, n) or (n,); got shapes {shapes}: "
            "transpose what has rows first, and keep what does not go by rows in the model"
        )
    return found.pop()[0]


def sharded(e_step: Callable[[Any, Any], Any], axis: str) -> Callable[[Any, Any], Any]:
    """The same E-step where every device of a mesh axis has some of the rows: what they say is added up."""
    return lambda params, data: lax.psum(e_step(params, data), axis)


def narrowed(e_step: Callable[[Any, Any], Any], size: int) -> Callable[[Any, Any], Any]:
    """The same E-step where only the first `size` components are present: the others' statistics are 0 without being computed."""

    def narrow_e_step(params: Any, data: Any) -> Any:
        if all(len(leaf) == size for leaf in jax.tree.leaves(params)):
            return e_step(params, data)
        whole, _ = jax.eval_shape(e_step, params, data)
        stats, log_likelihood = e_step(jax.tree.map(lambda leaf: leaf[:size], params), data)
        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), whole)
        return jax.tree.map(lambda all, some: all.at[:size].set(some) if all.ndim else some, blank, stats), log_likelihood

    return narrow_e_step


def _over_tiles(e_step: Callable[[Any, Data], Any], chunk_size: int) -> Callable[[Any, Data], Any]:
    """The same E-step on tiles of rows, so many of them together as have about `chunk_size` rows."""

    def tiled_e_step(params: Any, tiles: Data) -> Any:
        num_tiles, num_rows = tiles.weight.shape
        most = max(1, chunk_size // num_rows)
        size = max(number for number in range(1, num_tiles + 1) if num_tiles % number == 0 and number <= most)

        def part(number):
            some = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, number * size, size), tiles)
            return jax.tree.map(lambda leaf: jnp.sum(leaf, 0), jax.vmap(e_step, (None, 0))(params, some))

        def add(number, total):
            return jax.tree.map(jnp.add, total, part(number))

        total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(lambda: part(0)))
        return lax.fori_loop(0, num_tiles // size, add, total)

    return tiled_e_step
