"""The quick compiler: for programs that take longer to compile than to run. Imports JAX and NumPy only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


_QUICK = {"xla_cpu_use_fusion_emitters": False}


@functools.cache
def quick_options() -> dict[str, Any] | None:
    """Compiler options that halve the time to compile on a CPU; None where they are not known, as newer versions may not know them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=_QUICK)(np.zeros((), np.float32))
    except jax.errors.JaxRuntimeError:
        return None
    return _QUICK


def quick_jit(*static_argnames: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`jax.jit` with `quick_options`, which are looked up at the first call: importing a module must not start a backend."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def compiled() -> Callable[..., Any]:
            return jax.jit(function, static_argnames=static_argnames, compiler_options=quick_options())

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return compiled()(*args, **kwargs)

        return call

    return decorate
