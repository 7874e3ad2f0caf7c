"""What all pictures share: colours, markers, legends, the choice of columns. Imports spread and NumPy; matplotlib in functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .._picture import COLOURS, MARKERS
from ..spread import category, matrices, separation


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

    from ..result import Fit

GREY = "#767676"
PALE = "#D9D9D9"
MOST_POINTS = 20_000


def colour(number: int) -> str:
    """The colour of a cluster or family."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """The marker of a cluster or family."""
    return MARKERS[number % len(MARKERS)]


def legend_above(ax: Axes, handles: list[Any] | None = None, most: int = 5, **keywords: Any) -> Legend:
    """A legend over the axes, where it hides nothing, in rows of five, or of as many as are said."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    rows = math.ceil(len(handles) / most)
    columns = math.ceil(len(handles) / max(rows, 1))
    return ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, **keywords)


def shown(rows: np.ndarray) -> np.ndarray:
    """The rows, or as many of them, drawn at random, as a picture can show."""
    if len(rows) <= MOST_POINTS:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), MOST_POINTS, replace=False))]


def two_columns(fit: Fit, names: tuple[str, str] | None) -> list[int]:
    """Numbers of the two columns named; of those that set the clusters apart most where none are."""
    if names is None:
        return sorted(separation(fit).argsort()[::-1][:2].tolist())
    unknown = [name for name in names if name not in fit.columns]
    if unknown or len(names) != 2:
        wrong = f"there is no column {unknown[0]!r}" if unknown else f"got {len(names)}"
        raise ValueError(f"columns must name two of {', '.join(fit.columns)}; {wrong}")
    return [fit.columns.index(name) for name in names]


def counts(fit: Fit, x: np.ndarray) -> bool:
    """Whether rows are whole numbers, and the family one that may give nothing but whole numbers a chance."""
    return matrices(fit) is None and bool((np.isnan(x) | (x == np.floor(x))).all())


def aside(points: np.ndarray) -> np.ndarray:
    """Counts or categories, spread a little so that equal rows do not hide each other."""
    return points + np.random.default_rng(0).uniform(-0.3, 0.3, points.shape)


def name_categories(fit: Fit, ax: Axes, x: int, y: int | None = None) -> None:
    """The names of the categories of a column along the x axis, and of another along the y axis, in the place of numbers."""
    if fit.family != "categorical":
        return
    there = fit.params.probabilities.max(axis=0) > 0
    for axis, column in ((ax.xaxis, x), (ax.yaxis, y)):
        if column is not None:
            own = np.flatnonzero(there[column]).tolist()
            axis.set_ticks(own, [category(fit, column, number) for number in own])


def number(ax: Axes, place: np.ndarray, k: int) -> None:
    """A cluster's number at a place."""
    box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": dark(k), "linewidth": 1.2}
    ax.text(place[0], place[1], str(k + 1), ha="center", va="center", fontsize=9, color=dark(k), bbox=box, zorder=6)


def dark(k: int) -> tuple[float, float, float]:
    """A cluster's colour, darkened to be read on its own points."""
    from matplotlib.colors import to_rgb

    red, green, blue = (0.7 * part for part in to_rgb(colour(k)))
    return red, green, blue


def noise(fit: Fit, points: np.ndarray, labels: np.ndarray, ax: Axes) -> None:
    """Rows (n, 2) that are noise as small crosses, if the fit has noise: their label is none of the clusters'."""
    if fit.noise is not None:
        none = ~np.isin(labels, np.arange(fit.num_components))
        name = f"noise ({100 * fit.noise_weight:.0f} %)"
        ax.scatter(*points[none].T, s=14, marker="x", color=GREY, linewidths=0.9, label=name)


def share(fit: Fit, k: int) -> str:
    """A cluster's number and its share, for legends."""
    return f"{k + 1} ({100 * fit.params.weights[k]:.0f} %)"
