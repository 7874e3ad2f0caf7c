"""Compiling and running, timed apart. Imports JAX only."""

from __future__ import annotations

import time
from typing import Any

import jax


def call(function: Any, *arguments: Any, seconds: dict[str, float], **static: Any) -> Any:
    """What a jitted function returns, on the host; seconds of compiling and of running are added to `seconds`.

    Args:
        function: Made by `jax.jit` or `quick_jit`, once: JAX keeps what it has traced and compiled, until `jax.clear_caches()`.
        arguments: Pytrees of arrays, of JAX or NumPy.
        seconds: Has, or gets, entries "compiling" and "running".
        static: Static arguments, by keyword.
    """
    began = time.perf_counter()
    program = function.lower(*arguments, **static).compile()
    compiled = time.perf_counter()
    result = jax.block_until_ready(program(*arguments))
    seconds["compiling"] = seconds.get("compiling", 0.0) + compiled - began
    seconds["running"] = seconds.get("running", 0.0) + time.perf_counter() - compiled
    return jax.device_get(result)
