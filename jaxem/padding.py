"""Padding and stacking: how arrays of several sizes share one program. Imports layers 0 to 2 and patterns.

Rows are padded to buckets with rows of weight 0, components to the width of a program with copies at log-weight −inf.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .models.mixture import MixtureParams
from .patterns import Patterned, Patterns
from .protocol import Data


MANY = 2**15  # rows


def row_bucket(num_rows: int) -> int:
    """The number of rows a program is compiled for, so that files of similar length share programs.

    At most an eighth more, or 31; a sixteenth where there are many, and running takes longer than compiling.
    """
    step = 2 ** (max(num_rows - 1, 1).bit_length() - (4 if num_rows <= MANY else 5))
    return -(-num_rows // max(32, step)) * max(32, step)


def coarse_bucket(num_rows: int) -> int:
    """The same for rows that are computed on once: a power of two."""
    return max(32, 2 ** (num_rows - 1).bit_length())


def pad_data(
    x: np.ndarray,
    weight: np.ndarray,
    dtype: Any,
    label: np.ndarray | None = None,
    filled: np.ndarray | None = None,
    *,
    coarse: bool = False,
) -> Data | Patterned:
    """Rows (d, n), which may have room at the end already, weights (n,) and labels (n,) with invisible rows up to the bucket; on the host.

    Where some cells of `x` are missing, NaN, `filled` has guesses in their place; `coarse` as in `Patterns`.
    """
    bucket = coarse_bucket if coarse else row_bucket
    extra = bucket(len(weight)) - len(weight)
    seen = x if filled is None else filled
    room = extra + len(weight) - seen.shape[1]
    data = Data(
        np.asarray(np.pad(seen, ((0, 0), (0, room))) if room else seen, dtype),
        np.pad(np.asarray(weight, dtype), (0, extra)),
        None if label is None else np.pad(np.asarray(label, np.int32), (0, extra), constant_values=-1),
    )
    if filled is None:
        return data
    return Patterns(np.isnan(x), bucket, coarse=coarse).data(x, data)


def stack(trees: list[Any]) -> Any:
    """Pytrees of equal structure as one, with a new leading axis; one that comes again costs next to nothing."""
    once = {id(tree): tree for tree in trees}
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *once.values())
    if len(once) == len(trees):
        return stacked
    place = {name: slot for slot, name in enumerate(once)}
    return take(stacked, np.array([place[id(tree)] for tree in trees]))


def take(tree: Any, index: Any) -> Any:
    """Some lanes of a stacked pytree."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def pad_components(params: MixtureParams, width: int) -> MixtureParams:
    """Params (k, ...) with absent components up to `width`: copies of the first one at log-weight −inf."""
    extra = width - len(params.log_weights)

    def leaf(array):
        return np.concatenate([array, np.repeat(array[:1], extra, axis=0)])

    log_weights = np.concatenate([params.log_weights, np.full(extra, -np.inf, params.log_weights.dtype)])
    return MixtureParams(log_weights, jax.tree.map(leaf, params.components))


def trim_components(params: MixtureParams, num_components: int) -> MixtureParams:
    """The first `num_components` of padded params."""
    return jax.tree.map(lambda leaf: leaf[:num_components], params)
