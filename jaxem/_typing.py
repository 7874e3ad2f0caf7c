"""The names of axes and the aliases used in signatures. Imports JAX and NumPy only, and jaxtyping where it is in use.

Axes: `n` rows, `d` features, `k` components (the padded number), `f` features of the sufficient statistic, `l` lanes, `p` free
coordinates, `m` remembered pairs. A field or argument is annotated for one lane; batching is what `vmap` adds and is never written
down. Arrays are JAX's inside compiled code and NumPy's on the host.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

import jax
import numpy as np


if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int
else:  # who wants annotations to be read has loaded jaxtyping before; nobody else need wait for it

    class Bool:
        """An annotation that is not read."""

        def __class_getitem__(cls, shape: object) -> type[Bool]:
            return cls

    Float = Int = Bool

__all__ = ["Array", "Bool", "Float", "Int", "Scalar"]

Array: TypeAlias = jax.Array | np.ndarray
Scalar = Float[Array, ""]
