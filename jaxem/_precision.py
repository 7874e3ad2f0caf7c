"""The scope in which JAX computes in one float width. The library never touches `jax.config`. Imports JAX and NumPy only."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import numpy as np


def precision(dtype: Any) -> contextlib.AbstractContextManager:
    """A context in which arrays of `dtype` (float32 or float64) keep their width."""
    return jax.enable_x64(np.dtype(dtype) == np.float64)
