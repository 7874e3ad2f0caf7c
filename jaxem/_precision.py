"""The scope in which JAX computes in one float width, and in one process. The library never touches `jax.config`.

Imports JAX and NumPy only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


_home: int | None = None  # the process that has computed something


@contextlib.contextmanager
def precision(dtype: Any) -> Iterator[None]:
    """A context in which arrays of `dtype` (float32 or float64) keep their width.

    What a caller has set for code of their own does not reach in: strict promotion and guarded transfers would fail deep inside JAX.

    Raises:
        RuntimeError: in a process forked from one that has computed: it lacks JAX's threads, and would wait for them for ever.
    """
    global _home
    if _home is None:
        _home = os.getpid()
    if _home != os.getpid():
        raise RuntimeError(
            "jaxem was used before this process was forked, and JAX does not work after a fork: start workers by spawn or forkserver, "
            'for instance with multiprocessing.get_context("spawn")'
        )
    with (
        jax.enable_x64(np.dtype(dtype) == np.float64),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.transfer_guard("allow"),
    ):
        yield
