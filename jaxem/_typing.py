"""The names of axes and the aliases used in signatures. Imports JAX and NumPy only, and jaxtyping where it is in use.

Axes: `n` rows, `d` features, `k` components (the padded number), `f` features of the sufficient statistic, `l` lanes, `p` free
coordinates, `m` remembered pairs. An argument is annotated for one lane: batching is what `vmap` adds, and inside it no axis
shows. A record travels with any axes in front, the same of all its fields: `*l`, or `...` where each field may have its own. Arrays are
JAX's inside compiled code and NumPy's on the host. CONTRIBUTING says how all this is checked.
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

__all__ = ["Array", "Bool", "Float", "Int", "Number", "Scalar", "Whole"]

if TYPE_CHECKING:
    Array: TypeAlias = jax.Array | np.ndarray
else:
    Array = jax.Array | np.ndarray | np.floating | np.integer | np.bool_  # the last are NumPy's arrays without axes
Scalar = Float[Array, ""]
Number = Scalar | float
Whole: TypeAlias = int | np.integer
