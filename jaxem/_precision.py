"""The scope in which JAX computes in one float width. The library never touches `jax.config`. Imports JAX and NumPy only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


@contextlib.contextmanager
def precision(dtype: Any) -> Iterator[None]:
    """A context in which arrays of `dtype` (float32 or float64) keep their width.

    What a caller has set for code of their own does not reach in: strict promotion and guarded transfers would fail deep inside JAX.
    """
    with (
        jax.enable_x64(np.dtype(dtype) == np.float64),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.transfer_guard("allow"),
    ):
        yield
