"""The scope in which JAX computes in one float width, and in one process; its keys. The library never touches `jax.config`.

Imports JAX and NumPy only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


RANDOM = "threefry2x32"  # of JAX's generators the one that every distribution is written for
# What holds in the scope beside the width: what JAX itself begins with.
_SETTINGS: dict[str, Any] = {
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "transfer_guard_host_to_device": "allow",
    "transfer_guard_device_to_device": "allow",
    "transfer_guard_device_to_host": "allow",
    "debug_nans": False,
    "debug_infs": False,
    "default_prng_impl": RANDOM,
    "threefry_partitionable": True,
}

_home: int | None = None  # the process that has computed something


@contextlib.contextmanager
def precision(dtype: Any) -> Iterator[None]:
    """A context in which arrays of `dtype` (float32 or float64) keep their width.

    What a caller has set for code of their own does not reach in. Strict promotion, guarded transfers and hunts for NaN, which mark
    absent components and degenerate points here, would fail deep inside JAX; another random generator would change what a seed gives.

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
    with _under(_SETTINGS | {"enable_x64": bool(np.dtype(dtype) == np.float64)}):
        yield


def outside(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function to be called under the settings that hold here and now: a caller's within `precision`, or one in another thread."""
    held = {name: getattr(jax.config, f"jax_{name}") for name in ("enable_x64", *_SETTINGS)}

    def call(*args: Any, **kwargs: Any) -> Any:
        with _under(held):
            return function(*args, **kwargs)

    return call


def random_key(number: Any) -> Any:
    """The JAX key of a whole number, whatever generator a caller has made the default."""
    return jax.random.key(int(number), impl=RANDOM)


@contextlib.contextmanager
def _under(settings: dict[str, Any]) -> Iterator[None]:
    """A context in which these settings of JAX hold, by the names of its context managers."""
    with contextlib.ExitStack() as stack:
        for name, value in settings.items():
            stack.enter_context(getattr(jax, name)(value))
        yield
