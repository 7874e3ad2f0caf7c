"""Rows by pattern of missing cells. Owns their layout; imports layer 0 and protocol.

Rows with the same columns missing lie together in *tiles*, so that what a family must work out for a pattern is worked out once a
tile and not once a row. A tile has a fixed number of rows; the last one of a pattern is filled up with rows of weight 0. Complete rows
lie apart and go the way they go where nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._pytree import pytree, replace
from ._typing import Array, Int
from .protocol import Data


TILES = (8, 16, 32, 64, 128, 256)  # rows in a tile; what is chosen makes least work, where ...
FACTORS = 128  # ... what is done once a tile costs as much as so many rows
COARSE = (16, 128)  # the same where programs are to be few


@pytree
class Patterned:
    """Rows of which some lack cells.

    Attributes:
        filled: All rows in their own order with guesses in the place of missing cells: what starts see, and nothing else.
        whole: The complete rows.
        tiles: The others: as `Data`, every leaf with an axis of tiles in front.
        place: Where each row lies, counted through the complete rows and then through the tiles, shape (n,).
    """

    filled: Data
    whole: Data
    tiles: Data
    place: Int[Array, " n"]

    def without_labels(self) -> Patterned:
        """The same rows where nothing is known of any."""
        parts = {name: replace(getattr(self, name), label=None) for name in ("filled", "whole", "tiles")}
        return replace(self, **parts)


class Patterns:
    """Where rows go.

    Args:
        gone: Which cells are missing, shape (d, n).
        bucket: Rounds a number up, so that data of similar size share programs.
        coarse: Whether it is better to do up to twice the work than to compile for the holes of these rows: they are computed on once.
    """

    def __init__(self, gone: np.ndarray, bucket: Callable[[int], int], *, coarse: bool = False):
        _, num_rows = gone.shape
        patterns, which = np.unique(np.packbits(gone, axis=0), axis=1, return_inverse=True)
        which = which.ravel()
        order = np.argsort(which, kind="stable")
        rows_of = np.split(order, np.cumsum(np.bincount(which, minlength=patterns.shape[1]))[:-1])
        complete = np.logical_not(gone.any(axis=0))
        lacking = [rows for rows in rows_of if not complete[rows[0]]]
        self.num_patterns = len(rows_of)
        self.whole = _filled(np.flatnonzero(complete), bucket(int(complete.sum())))
        size = _tile_size([len(rows) for rows in lacking], COARSE if coarse else TILES)
        tiles = [_filled(rows, -(-len(rows) // size) * size).reshape(-1, size) for rows in lacking]
        num_tiles = sum(map(len, tiles))
        step = max(4, 2 ** (num_tiles.bit_length() - (2 if coarse else 4)))
        self.tiles = np.concatenate([*tiles, np.full((-(-num_tiles // step) * step - num_tiles, size), -1)])
        self.missing = _columns(gone[:, self.tiles[:, 0]] & (self.tiles[:, 0] >= 0), coarse=coarse)
        everywhere = np.concatenate([self.whole, self.tiles.ravel()])
        self.place = np.zeros(bucket(num_rows), np.int32)
        self.place[everywhere[everywhere >= 0]] = np.flatnonzero(everywhere >= 0)

    def data(self, x: np.ndarray, filled: Data) -> Patterned:
        """Rows (..., d, n), and the same filled up with guesses and rows of weight 0, where they go; as NumPy arrays."""
        width = x.shape[-1]
        whole, tiles = self._spread(np.nan_to_num(np.asarray(x, filled.x.dtype)), 0)
        heavy, light = self._spread(np.asarray(filled.weight)[..., :width], 0)
        known, told = (None, None) if filled.label is None else self._spread(np.asarray(filled.label)[:width], -1)
        tiles = Data(np.moveaxis(tiles, -3, -2), light, told, self.missing)
        return Patterned(filled, Data(whole, heavy, known), tiles, self.place)

    def _spread(self, values: np.ndarray, fill: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values of rows (..., n) among the complete rows and in the tiles; `fill` where there is no row."""
        whole, tiles = (np.where(rows >= 0, values[..., rows], values.dtype.type(fill)) for rows in (self.whole, self.tiles))
        return whole, tiles


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Row numbers, and −1 up to `size`."""
    return np.pad(rows, (0, size - len(rows)), constant_values=-1)


def _columns(gone: np.ndarray, *, coarse: bool) -> np.ndarray:
    """The numbers of the missing columns of each tile, and d where fewer are missing than anywhere, shape (m, q)."""
    most, d = max(1, int(gone.sum(0).max(initial=0))), len(gone)
    if coarse:
        most = next(-(-d // part) for part in (4, 2, 1) if -(-d // part) >= most)
    first = np.argsort(~gone, axis=0, kind="stable")[:most].T
    return np.where(np.take_along_axis(gone.T, first, 1), first, d).astype(np.int32)


def _tile_size(counts: list[int], choices: tuple[int, ...]) -> int:
    """The number of rows in a tile that makes least work, for patterns of so many rows."""
    sizes = np.array(choices)
    work = (-(-np.array(counts, int)[:, None] // sizes) * (sizes + FACTORS)).sum(0)
    return int(sizes[work.argmin()])


def everywhere(function: Callable[[Data], Array], data: Data | Patterned) -> Array:
    """A function that gives something for every row, (..., n), on all rows in their own order."""
    if isinstance(data, Data):
        return function(data)
    return in_order(function(data.whole), jax.vmap(function)(data.tiles), data)


def in_order(whole: Array, tiles: Array, data: Patterned) -> Array:
    """What was found for the complete rows (..., n) and for the tiles (m, ..., t), for all rows in their own order."""
    tiles = jnp.moveaxis(tiles, 0, -2)
    return jnp.concatenate([whole, tiles.reshape(*tiles.shape[:-2], -1)], axis=-1)[..., data.place]


def as_seen(family: Any, params: Any, data: Data) -> Any:
    """The family as these rows see it: all of it, or the columns that they have."""
    return family if data.missing is None else family.observed(params, data.missing)


def guessed(data: Data | Patterned) -> Data:
    """All rows in their own order and complete: as starts see them."""
    return data if isinstance(data, Data) else data.filled
