"""Figures outside pyplot, which nobody has to close, and which a notebook shows all the same; colours and markers of all pictures.

Imports matplotlib when it draws.
"""

from __future__ import annotations

import functools
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Ellipse

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
SIZE = (6.0, 4.5)  # inches; text keeps its size at 100 dpi, so that 600 pixels are enough


def figure(size: tuple[float, float] = SIZE) -> Any:
    """A figure of its own, shown by a notebook where it is a cell's last value."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(made)
    return _shown(made, made)


def axes(ax: Axes | None = None, size: tuple[float, float] = SIZE) -> Axes:
    """The axes given, or those of a new figure, which a notebook shows for them."""
    if ax is not None:
        return ax
    whole = figure(size)
    made = whole.add_subplot()
    made.spines[["top", "right"]].set_visible(False)
    return _shown(made, whole)


def ellipse(mean: np.ndarray, matrix: np.ndarray, region: float, dof: float = np.inf, **look: Any) -> Ellipse:
    """The region of highest density that holds a share of a Gaussian or t distribution in two columns.

    Args:
        mean: Its centre, shape (2,).
        matrix: Covariance or scatter matrix, shape (2, 2).
        region: The share.
        dof: Degrees of freedom.
        **look: What matplotlib's `Ellipse` takes.
    """
    from matplotlib.patches import Ellipse

    values, vectors = np.linalg.eigh(matrix)
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    rest = -math.log(1 - region)  # {x: (x−m)' S⁻¹ (x−m) ≤ level}
    level = 2 * rest if np.isinf(dof) else dof * math.expm1(2 * rest / dof)
    minor, major = 2 * np.sqrt(np.maximum(values, 0) * level)
    return Ellipse(tuple(mean), major, minor, angle=angle, fill=False, **look)


def _shown(value: Any, whole: Any) -> Any:
    """A value that IPython displays as a figure; only pyplot would tell it how, and is not asked."""
    value._repr_png_ = functools.partial(_png, whole)
    return value


def _png(whole: Any) -> bytes:
    buffer = io.BytesIO()
    whole.savefig(buffer, format="png")
    return buffer.getvalue()
