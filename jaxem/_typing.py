"""The names of axes and the aliases used in signatures. Imports jaxtyping, JAX and NumPy only.

Axes: `n` rows, `d` features, `k` components (the padded number), `f` features of the sufficient statistic, `l` lanes, `p` free
coordinates, `m` remembered pairs. A field or argument is annotated for one lane; batching is what `vmap` adds and is never written
down. Arrays are JAX's inside compiled code and NumPy's on the host.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Bool, Float, Int


__all__ = ["Array", "Bool", "Float", "Int", "Scalar"]

Array: TypeAlias = jax.Array | np.ndarray
Scalar = Float[Array, ""]
