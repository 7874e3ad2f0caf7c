"""Pictures of selections and fits. Each function takes an `Axes`, or makes one, draws on it and returns it; none shows it.

Colours are those of Okabe & Ito (2008), which the colour-blind can tell apart, and markers differ as well. Without `ax` a
figure of its own is made, outside pyplot: nothing global changes, no display is needed. Imports NumPy; matplotlib in functions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

    from .result import Fit
    from .selection import Selection

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
GREY = "#767676"
SIZE = (6.0, 4.5)  # inches; text keeps its size at 100 dpi, so that 600 pixels are enough
MOST_POINTS = 20_000
MOST_BARS = 80
ORIGINS = ("start", "split", "merge", "split-merge")
REGIONS = (0.5, 0.95)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def _legend_above(ax: Axes, handles: list[Any] | None = None, **keywords: Any) -> Legend:
    """A legend over the axes, where it hides nothing, in rows of five."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    rows = math.ceil(len(handles) / 5)
    columns = math.ceil(len(handles) / max(rows, 1))
    return ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, **keywords)


def criteria(selection: Selection, ax: Axes | None = None) -> Axes:
    """Draw the criterion by number of components, one line a family; the choice is ringed, fits next to singular are hollow.

    The scale is set by the neighbourhood of the choice. Families that never come near it are named as off the scale.

    Args:
        selection: What `jaxem.select` returned.
        ax: Where to draw; a new figure without it.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    ax, name = _axes(ax), selection.criterion
    table = selection.table[np.isfinite(selection.table[name])]
    ranking = selection.ranking()
    low, top = _window(table, name, ranking[0]) if ranking else (-np.inf, np.inf)
    handles = []
    for number, (family, rows) in enumerate(table.groupby("family", sort=False)):
        look = {"color": _colour(number), "marker": _marker(number), "markersize": 5.5}
        ks, values, spurious = (rows[column].to_numpy() for column in ("num_components", name, "spurious"))
        ax.plot(ks, values, **look, markevery=np.flatnonzero(~spurious).tolist(), linewidth=1.4)
        ax.plot(ks[spurious], values[spurious], **look, linestyle="", markerfacecolor="white")
        hidden = "" if values.min() <= top else " (off the scale)"
        handles.append(Line2D([], [], **look, label=f"{family}{hidden}"))
    if table["spurious"].any():
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="", label="next to singular"))
    if ranking:
        best, value = ranking[0], getattr(ranking[0], name)
        ax.plot(best.num_components, value, "o", markersize=14, markerfacecolor="none", markeredgecolor="black", zorder=5)
        label = f"{best.family}, K = {best.num_components}"
        ax.annotate(
            label, (best.num_components, value), (0, -11), textcoords="offset points", ha="center", va="top", weight="bold"
        )
        ax.set_ylim(low, top)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set(xlabel="number of components K", ylabel=f"{name.upper()} (lower is better)")
    _legend_above(ax, handles, fontsize=9, columnspacing=1.2, handletextpad=0.4)
    return ax


def _window(table: pd.DataFrame, name: str, best: Fit) -> tuple[float, float]:
    """Limits that show the choice, how its family's criterion rises on both sides, and as much again above."""
    lowest = float(np.min([getattr(best, name), table[name].min()]))
    own = table[table["family"] == best.family]
    beside = own[own["num_components"] >= best.num_components - 1][name]
    interesting = max(beside.max(), own[name].median()) - lowest
    everything = table[name].max() - lowest
    height = min(2 * interesting, everything) if interesting > 0 else everything
    height = height if height > 0 else 1.0
    return lowest - 0.16 * height, lowest + 1.04 * height


def separation(fit: Fit) -> np.ndarray:
    """How far each column sets the clusters apart: the variance between clusters over that within, shape (d,)."""
    weights, params = fit.params.weights[:, None], fit.params
    gaussian = hasattr(params, "means")
    centres = params.means if gaussian else params.rates
    within = np.diagonal(params.covariances, axis1=-2, axis2=-1) if gaussian else params.rates
    between = (weights * (centres - (weights * centres).sum(0)) ** 2).sum(0)
    return between / np.maximum((weights * within).sum(0), np.finfo(float).tiny)


def clusters(fit: Fit, data: Any, ax: Axes | None = None, columns: tuple[str, str] | None = None) -> Axes:
    """Draw the rows in the colours of their clusters, and the components themselves.

    Two columns or more: the two that set the clusters apart most, with the regions that hold 50 % and 95 % of each Gaussian
    component. Counts are spread a little, so that equal rows do not hide each other, and bars show a rate and its standard
    deviation. One column: a histogram, and the density of each component weighted by its share.

    Args:
        fit: A fitted mixture.
        data: The rows, as given to `jaxem.fit`.
        ax: Where to draw; a new figure without it.
        columns: Names of the two columns to show.
    Raises:
        ValueError: for a column that the fit does not have.
    """
    ax, rows = _axes(ax), fit.rows(data)
    if len(rows) > MOST_POINTS:
        rows = rows[np.sort(np.random.default_rng(0).choice(len(rows), MOST_POINTS, replace=False))]
    title = f"{fit.family}, K = {fit.num_components}"
    if len(fit.columns) == 1:
        _one_column(fit, rows[:, 0], ax)
        _legend_above(ax, title=title)
        return ax
    pair = _two_columns(fit, columns)
    counts = hasattr(fit.params, "rates")
    points, labels = rows[:, pair], fit.predict(rows)
    if counts:
        points = points + np.random.default_rng(0).uniform(-0.3, 0.3, points.shape)
    crowded = len(rows) > 1000
    look: dict[str, Any] = {"s": 6 if crowded else 22, "alpha": 0.4 if crowded else 0.7, "linewidths": 0, "rasterized": crowded}
    for k in range(fit.num_components):
        ax.scatter(*points[labels == k].T, color=_colour(k), marker=_marker(k), label=_share(fit, k), **look)
        (_rates if counts else _regions)(fit, k, pair, ax)
    ax.set(xlabel=fit.columns[pair[0]], ylabel=fit.columns[pair[1]])
    shown = "bars: rate ± its standard deviation" if counts else "ellipses: 50 % and 95 % of each cluster"
    legend = _legend_above(ax, title=f"{title}; {shown}", markerscale=3 if crowded else 1.2)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)
    return ax


def _two_columns(fit: Fit, names: tuple[str, str] | None) -> list[int]:
    if names is None:
        return sorted(separation(fit).argsort()[::-1][:2].tolist())
    unknown = [name for name in names if name not in fit.columns]
    if unknown or len(names) != 2:
        wrong = f"there is no column {unknown[0]!r}" if unknown else f"got {len(names)}"
        raise ValueError(f"columns must name two of {', '.join(fit.columns)}; {wrong}")
    return [fit.columns.index(name) for name in names]


def _regions(fit: Fit, k: int, pair: list[int], ax: Axes) -> None:
    """The regions of highest density of one Gaussian component in two columns: {x: (x-m)' S^-1 (x-m) <= -2 log(1-p)}."""
    from matplotlib.patches import Ellipse

    centre, covariance = fit.params.means[k, pair], fit.params.covariances[k][np.ix_(pair, pair)]
    values, vectors = np.linalg.eigh(covariance)
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    for region, style in zip(REGIONS, ("-", "--"), strict=True):
        minor, major = 2 * np.sqrt(np.maximum(values, 0) * -2 * math.log(1 - region))
        ax.add_patch(
            Ellipse(tuple(centre), major, minor, angle=angle, fill=False, edgecolor=_dark(k), linewidth=1.3, linestyle=style)
        )
    _number(ax, centre, k)
    ax.autoscale_view()


def _rates(fit: Fit, k: int, pair: list[int], ax: Axes) -> None:
    centre = fit.params.rates[k, pair]
    bars = np.sqrt(centre)
    ax.errorbar(*centre, xerr=bars[0], yerr=bars[1], color=_dark(k), linewidth=1.8, capsize=4, zorder=4)
    _number(ax, centre, k)


def _number(ax: Axes, place: np.ndarray, k: int) -> None:
    box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": _dark(k), "linewidth": 1.2}
    ax.text(place[0], place[1], str(k + 1), ha="center", va="center", fontsize=9, color=_dark(k), bbox=box, zorder=6)


def _dark(k: int) -> tuple[float, float, float]:
    """A cluster's colour, darkened to be read on its own points."""
    from matplotlib.colors import to_rgb

    red, green, blue = (0.7 * part for part in to_rgb(_colour(k)))
    return red, green, blue


def _one_column(fit: Fit, x: np.ndarray, ax: Axes) -> None:
    """A histogram with the densities (for counts: the probabilities) of the components, weighted, and their sum."""
    if hasattr(fit.params, "rates"):
        step = max(1, math.ceil(np.ptp(x) / MOST_BARS))
        edges = np.arange(x.min() - 0.5, x.max() + step, step)
        grid = np.unique(np.linspace(x.min(), x.max(), 512).round())
    else:
        number = int(np.clip(len(np.histogram_bin_edges(x, "fd")) - 1, 10, MOST_BARS))
        edges = np.linspace(x.min(), x.max(), number + 1)
        margin = 0.05 * np.ptp(x)
        grid = np.linspace(x.min() - margin, x.max() + margin, 512)
    ax.hist(x, edges, density=True, color="#D9D9D9", edgecolor="white", linewidth=0.5)
    densities = fit.predict_proba(grid) * np.exp(fit.log_prob(grid))[:, None]
    if fit.num_components > 1:
        ax.plot(grid, densities.sum(1), color="black", linewidth=3, alpha=0.3, label="all")
    for k, own in enumerate(densities.T):
        ax.plot(grid, own, color=_colour(k), linewidth=1.6, label=_share(fit, k))
        _number(ax, np.array([grid[own.argmax()], own.max()]), k)
    ax.margins(y=0.08)
    ax.set(xlabel=fit.columns[0], ylabel="probability" if hasattr(fit.params, "rates") else "density", ylim=(0, None))


def _share(fit: Fit, k: int) -> str:
    return f"{k + 1} ({100 * fit.params.weights[k]:.0f} %)"


def restarts(selection: Selection, family: str, num_components: int, ax: Axes | None = None) -> Axes:
    """Draw how far all runs of one cell ended below its best fit, sorted: was the best log-likelihood replicated?

    The scale is logarithmic beyond a tenth of a nat. Pale marks are runs that were given up after the first stage; hollow ones
    are next to singular, and may lie above the best.

    Args:
        selection: What `jaxem.select` returned.
        family: Name of the family.
        num_components: K.
        ax: Where to draw; a new figure without it.
    Raises:
        KeyError: if the cell was not asked for or has no fit, with the reason.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    fit, runs, ax = selection[family, num_components], selection.runs, _axes(ax)
    runs = runs[(runs["family"] == family) & (runs["num_components"] == num_components) & np.isfinite(runs["log_likelihood"])]
    runs = runs.assign(gap=fit.log_likelihood - runs["log_likelihood"]).sort_values("gap")
    runs["rank"] = np.arange(1, len(runs) + 1)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    handles = []
    for number, origin in enumerate(origin for origin in ORIGINS if (runs["origin"] == origin).any()):
        some = runs[runs["origin"] == origin]
        look: dict[str, Any] = {"color": _colour(number), "marker": _marker(number), "linestyle": "", "markersize": 6}
        for (finished, spurious), part in some.groupby(["finalist", "spurious"]):
            fill: dict[str, Any] = {"markerfacecolor": "white"} if spurious else {}
            ax.plot(part["rank"], part["gap"], **look, **fill, alpha=1.0 if finished else 0.25)
        handles.append(Line2D([], [], **look, label=origin))
    handles.append(Line2D([], [], color=GREY, marker="o", linestyle="", alpha=0.4, label="given up early"))
    ax.set_yscale("symlog", linthresh=0.1)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="run, best first", ylabel="nats below the best")
    reached = f"{fit.replicated} of {fit.num_finalists} finalists among the starts reached the best"
    _legend_above(ax, handles, title=f"{family}, K = {num_components}: {reached}", handletextpad=0.1, columnspacing=1.0)
    return ax
