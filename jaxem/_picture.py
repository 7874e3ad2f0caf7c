"""Figures outside pyplot, which nobody has to close, and which a notebook shows all the same; colours and markers of all pictures.

Imports matplotlib when it draws.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def _shown(value: Any, whole: Any) -> Any:
    """A value that IPython displays as a figure; only pyplot would tell it how, and is not asked."""
    value._repr_png_ = functools.partial(_png, whole)
    return value


def _png(whole: Any) -> bytes:
    buffer = io.BytesIO()
    whole.savefig(buffer, format="png")
    return buffer.getvalue()
