"""Pictures of a fit with its rows: clusters, pairs of columns, densities."""

from __future__ import annotations

import functools
import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from .._picture import axes, ellipse, figure
from ..spread import matrices, moments, separation
from ._style import (
    GREY,
    PALE,
    aside,
    colour,
    counts,
    dark,
    legend_above,
    marker,
    name_categories,
    noise,
    number,
    share,
    shown,
    two_columns,
)


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..noise import Region
    from ..result import Fit

MOST_BARS = 80
MOST_PAIRS = 5
WIDEST_NAME = 18  # characters of a column's name in a line beside its row of pairs
REGIONS = (0.5, 0.95)
CONTOURS = (0.95, 0.75, 0.5, 0.25)
BLUES = ("#DCE9F6", "#AACFE5", "#5FA6D1", "#1D6CB1")  # for each of them; the edges of all are darker
EDGE = "#08306B"
DRAWS = 20_000  # for the levels: what a region holds is off by 0.35 % in sd at most
PLACES = 160


def clusters(fit: Fit, data: Any, ax: Axes | None = None, columns: tuple[str, str] | None = None) -> Axes:
    """Draw the rows in the colours of their clusters, and the components themselves.

    Two columns or more: the two that set the clusters apart most, with the regions that hold 50 % and 95 % of each Gaussian
    component; of other families bars show the mean and the standard deviation. Counts and categories are spread a little, so that
    equal rows do not hide each other. One column: a histogram, and the density of each component weighted by its share, or its
    probabilities of counts, as steps. Rows that lack a cell of those to be shown are left out. Cluster 1 is component 0 of `fit.predict`.

    Args:
        fit: A fitted mixture.
        data: The rows, as given to `jaxem.fit`.
        ax: Where to draw; a new figure without it.
        columns: Names of the two columns to show.
    Raises:
        ValueError: for a column that the fit does not have.
    """
    ax, rows = axes(ax), shown(fit.rows(data, missing=True))
    title = f"{fit.family}, K = {fit.num_components}"
    if len(fit.columns) == 1:
        _one_column(fit, rows[~np.isnan(rows[:, 0]), 0], ax)
        legend_above(ax, title=title)
        return ax
    pair = two_columns(fit, columns)
    round_, named = matrices(fit) is not None, fit.family == "categorical"
    points, labels = rows[:, pair], fit.predict(rows)
    points = aside(points) if counts(fit, rows) else points
    crowded = len(rows) > 1000
    look: dict[str, Any] = {"s": 6 if crowded else 22, "alpha": 0.4 if crowded else 0.7, "linewidths": 0, "rasterized": crowded}
    noise(fit, points, labels, ax)
    centres, variances = (values[:, pair] for values in moments(fit))
    for k in range(fit.num_components):
        ax.scatter(*points[labels == k].T, color=colour(k), marker=marker(k), label=share(fit, k), **look)
        if round_:
            regions(fit, k, pair, ax)
        elif not named:
            bars(centres[k], np.sqrt(variances[k]), k, ax)
    ax.set(xlabel=fit.columns[pair[0]], ylabel=fit.columns[pair[1]])
    name_categories(fit, ax, *pair)
    drawn = "ellipses: 50 % and 95 % of each cluster" if round_ else "bars: mean ± standard deviation"
    drawn = "rows, spread about their categories" if named else drawn
    legend = legend_above(ax, title=f"{title}; {drawn}", markerscale=3 if crowded else 1.2)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)
    return ax


def regions(fit: Fit, k: int, pair: list[int], ax: Axes) -> None:
    """The regions of highest density of one component in two columns, for Gaussian and t components."""
    known = fit.params.asdict()
    matrix = known["covariances" if "covariances" in known else "scatters"][k][np.ix_(pair, pair)]
    centre, dof = fit.params.means[k, pair], known["dof"][k] if "dof" in known else np.inf
    for region, style in zip(REGIONS, ("-", "--"), strict=True):
        ax.add_patch(ellipse(centre, matrix, region, dof, edgecolor=dark(k), linewidth=1.3, linestyle=style))
    number(ax, centre, k)
    ax.autoscale_view()


def bars(centre: np.ndarray, spread: np.ndarray, k: int, ax: Axes) -> None:
    """The mean of a component in two columns, and one standard deviation to either side."""
    ax.errorbar(*centre, xerr=spread[0], yerr=spread[1], color=dark(k), linewidth=1.8, capsize=4, zorder=4)
    number(ax, centre, k)


def _one_column(fit: Fit, x: np.ndarray, ax: Axes) -> None:
    """A histogram with the densities (for counts: the probabilities, as steps) of the components, weighted, and their sum."""
    whole = counts(fit, x)
    if whole:
        step = max(1, math.ceil(np.ptp(x) / MOST_BARS))
        edges = np.arange(x.min() - 0.5, x.max() + step, step)
        grid = np.unique(np.linspace(x.min(), x.max(), 512).round())
    else:
        own = matrices(fit)
        sds = np.sqrt(np.ravel(np.inf if own is None else own))  # of a family that has none, no bar is too wide
        most = max(len(np.histogram_bin_edges(x, "fd")) - 1, np.ptp(x) / sds.min(), 10)
        edges = np.linspace(x.min(), x.max(), math.ceil(min(most, MOST_BARS)) + 1)
        margin = 0.05 * np.ptp(x)
        grid = np.linspace(x.min() - margin, x.max() + margin, 512)
        if np.isfinite(sds).all():
            near = fit.params.means + sds[:, None] * np.linspace(-4, 4, 41)
            grid = np.unique(np.r_[grid, near[(near > grid[0]) & (near < grid[-1])]])
    draw = functools.partial(_steps, ax, grid) if whole else functools.partial(ax.plot, grid)
    ax.hist(x, edges, density=True, color=PALE, edgecolor="white", linewidth=0.5)
    densities = fit.predict_proba(grid) * np.exp(fit.log_prob(grid))[:, None]
    if fit.noise is not None:
        (along,) = (grid - fit.noise.origin) / fit.noise.edges
        densities[:, -1] *= (along >= 0) & (along <= 1)
    if densities.shape[1] > 1:
        draw(densities.sum(1), color="black", linewidth=3, alpha=0.3, label="all")
    if fit.noise is not None:
        draw(densities[:, -1], color=GREY, linewidth=1.6, label=f"noise ({100 * fit.noise_weight:.0f} %)")
    for k, own in enumerate(densities.T[: fit.num_components]):
        draw(own, color=colour(k), linewidth=1.6, label=share(fit, k))
        number(ax, np.array([grid[own.argmax()], own.max()]), k)
    ax.margins(y=0.08)
    name_categories(fit, ax, 0)
    ax.set(xlabel=fit.columns[0], ylabel="probability" if whole else "density", ylim=(0, None))


def _steps(ax: Axes, grid: np.ndarray, heights: np.ndarray, **look: Any) -> None:
    """What is there at whole numbers only, as steps as wide as the bars of a histogram."""
    between = (grid[1:] + grid[:-1]) / 2
    ax.stairs(heights, np.r_[grid[0] - 0.5, between, grid[-1] + 0.5], baseline=None, **look)


def pairs(fit: Fit, data: Any, columns: tuple[str, ...] | None = None) -> np.ndarray:
    """Draw every pair of columns as `clusters` does, on one figure, and each column by itself on the diagonal.

    The title says how many of the columns are shown where these are not all. Long names are broken, or cut, to fit beside their row.

    Args:
        fit: A fitted mixture.
        data: The rows, as given to `jaxem.fit`.
        columns: Names of the columns; without them the five that set the clusters apart most.
    Returns:
        The axes, shape (d, d).
    Raises:
        ValueError: for a column that the fit does not have.
    """
    names = (
        tuple(fit.columns[j] for j in np.sort(separation(fit).argsort()[::-1][:MOST_PAIRS]))
        if columns is None
        else tuple(columns)
    )
    places = [two_columns(fit, (name, name))[0] for name in names]
    titles = [_fitting(name) for name in names]
    rows = shown(fit.rows(data, missing=True))
    labels = fit.predict(rows)
    size = max(6.0, 1.9 * len(names))
    whole = figure((size, size))
    grid = whole.subplots(len(names), len(names), squeeze=False, sharex="col")
    for i, j in np.ndindex(grid.shape):
        ax = grid[i, j]
        ax.spines[["top", "right"]].set_visible(False)
        if i == j:
            _marginal(fit, rows[:, places[j]], labels, ax)
        else:
            clusters(fit, rows, ax, (names[j], names[i]))
            ax.get_legend().remove()
        ax.set(xlabel=titles[j] if i == len(names) - 1 else "", ylabel=titles[i] if j == 0 else "")
        ax.tick_params(labelsize=8)
    whole.align_labels()
    _explained(fit, len(names), whole)
    return grid


def _fitting(name: str) -> str:
    """A column's name in two lines at most, no wider than a picture of a pair."""
    lines = textwrap.wrap(name.replace("_", "_ "), WIDEST_NAME) or [name]
    lines = [line.replace("_ ", "_") for line in lines]
    return "\n".join(lines if len(lines) <= 2 else [lines[0], lines[1][: WIDEST_NAME - 1] + "…"])


def _explained(fit: Fit, num_shown: int, whole: Figure) -> None:
    """A title and a legend of the clusters' colours over a figure of several axes."""
    from matplotlib.patches import Patch

    handles = [Patch(color=colour(k), label=share(fit, k)) for k in range(fit.num_components)]
    if fit.noise is not None:
        handles.insert(0, Patch(color=GREY, label=f"noise ({100 * fit.noise_weight:.0f} %)"))
    some = "" if num_shown == len(fit.columns) else f"; {num_shown} of {len(fit.columns)} columns"
    title = f"{fit.family}, K = {fit.num_components}: clusters and their shares{some}"
    rows = math.ceil(len(handles) / 5)
    whole.legend(handles=handles, loc="outside upper center", ncols=math.ceil(len(handles) / rows), frameon=False, title=title)


def _marginal(fit: Fit, x: np.ndarray, labels: np.ndarray, ax: Axes) -> None:
    """A histogram of one column, in the colours of the clusters."""
    seen = ~np.isnan(x)
    parts = [x[(labels == k) & seen] for k in range(fit.num_components)]
    colours = [colour(k) for k in range(fit.num_components)]
    if fit.noise is not None:
        parts, colours = [x[(labels < 0) & seen], *parts], [GREY, *colours]
    edges = np.arange(np.nanmin(x) - 0.5, np.nanmax(x) + 1) if fit.family == "categorical" else 24
    ax.hist(parts, edges, stacked=True, color=colours, edgecolor="white", linewidth=0.4)
    ax.set_yticks([])


def density(fit: Fit, data: Any = None, ax: Axes | None = None, columns: tuple[str, str] | None = None) -> Axes:
    """Draw the density of the whole mixture in two columns: the regions of highest density that hold 25, 50, 75 and 95 % of it.

    Of a fit with noise, the regions are those of its clusters together, and hold these shares of the rows that are no noise: noise
    has one density everywhere, so that no part of its region is denser than another. That region is dashed.

    Args:
        fit: A fit of Gaussian or t components, of two columns or more; the others are integrated out.
        data: The rows, to be drawn as well.
        ax: Where to draw; a new figure without it.
        columns: Names of the two columns; without them those that set the clusters apart most.
    Raises:
        ValueError: if the fit is of other components, has one column, or has not the columns named.
    References:
        Hyndman 1996, The American Statistician 50: the level of such a region is a quantile of the density at draws from it.
    """
    own = matrices(fit)
    if own is None or len(fit.columns) < 2:
        what = "the density of one column" if len(fit.columns) == 1 else "the rows and the components of such a fit"
        raise ValueError(
            f"density draws Gaussian and t components in two columns or more; this fit is {fit.family} in {len(fit.columns)}: "
            f"jaxem.plot.clusters draws {what}"
        )
    from matplotlib.patches import Patch

    ax, pair, params = axes(ax), two_columns(fit, columns), fit.params
    dof = getattr(params, "dof", np.full(fit.num_components, np.inf))
    mixture = (params.weights / params.weights.sum(), params.means[:, pair], own[:, pair][:, :, pair], dof)
    drawn = _draw(*mixture)
    levels = np.quantile(_mixture_density(*mixture, drawn), 1 - np.array(CONTOURS))
    if data is not None:
        ax.scatter(*shown(fit.rows(data, missing=True))[:, pair].T, s=8, color=GREY, alpha=0.5, linewidths=0)
    x, y = _grid(*mixture, drawn, levels[0])
    height = _mixture_density(*mixture, np.stack(np.meshgrid(x, y), axis=-1))
    filled = ax.contourf(x, y, height, levels, extend="max", colors=BLUES, alpha=0.6)
    lines = ax.contour(x, y, height, levels, colors=EDGE, linewidths=0.9)
    for ends in (*filled.sticky_edges, *lines.sticky_edges):
        ends.clear()  # or regions would touch the axes
    legend: list[Any] = [
        Patch(facecolor=(blue, 0.6), edgecolor=EDGE, linewidth=0.9, label=f"{100 * region:.0f} %")
        for blue, region in zip(BLUES, CONTOURS, strict=True)
    ]
    if fit.noise is not None:
        label = f"noise ({100 * fit.noise_weight:.0f} %)"
        legend += ax.plot(*outline(fit.noise, pair).T, color=GREY, linestyle="--", linewidth=1.2, label=label)
    for k, mean in enumerate(mixture[1]):
        number(ax, mean, k)
    ax.autoscale_view(tight=False)
    ax.set(xlabel=fit.columns[pair[0]], ylabel=fit.columns[pair[1]])
    whose = "" if fit.noise is None else " of the clusters, without noise"
    legend_above(ax, legend, title=f"{fit.family}, K = {fit.num_components}: regions of highest density{whose}")
    return ax


def _draw(weights: np.ndarray, means: np.ndarray, matrices: np.ndarray, dof: np.ndarray) -> np.ndarray:
    """Points (n, 2) from a mixture of Gaussian (of infinite dof) or t components in two columns, the same each time."""
    rng = np.random.default_rng(0)
    of = rng.choice(len(weights), DRAWS, p=weights)
    away = np.einsum("nij,nj->ni", np.linalg.cholesky(matrices)[of], rng.standard_normal((DRAWS, 2)))
    heavy = np.isfinite(dof)[of]
    away[heavy] /= np.sqrt(rng.chisquare(dof[of[heavy]]) / dof[of[heavy]])[:, None]
    return means[of] + away


def _mixture_density(
    weights: np.ndarray, means: np.ndarray, matrices: np.ndarray, dof: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """The density of such a mixture at points (..., 2)."""
    total = np.zeros(points.shape[:-1])
    for weight, mean, matrix, nu in zip(weights, means, matrices, dof, strict=True):
        away = points - mean
        distance = (away @ np.linalg.inv(matrix) * away).sum(-1)
        fall = 0.5 * distance if np.isinf(nu) else (0.5 * nu + 1) * np.log1p(distance / nu)
        total += weight * np.exp(-fall) / (2 * math.pi * math.sqrt(np.linalg.det(matrix)))
    return total


def _grid(
    weights: np.ndarray, means: np.ndarray, matrices: np.ndarray, dof: np.ndarray, drawn: np.ndarray, level: float
) -> list[np.ndarray]:
    """Places along both columns that reach as far as the density is above a level, closer together where there are more draws.

    Where it is, one component of the k has a k-th of the level at least; if Gaussian, (x-m)' S^-1 (x-m) <= 2 log(k peak / level) there.
    """
    peaks = weights / (2 * math.pi * np.sqrt(np.linalg.det(matrices)))
    fall = np.log(np.maximum(len(weights) * peaks / level, 1.0))
    finite = np.where(np.isinf(dof), 1.0, dof)
    reach = np.sqrt(np.where(np.isinf(dof), 2 * fall, finite * np.expm1(fall / (0.5 * finite + 1))))[:, None]
    away = reach * np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    crowded = np.quantile(drawn, np.linspace(0, 1, PLACES), axis=0)
    out = []
    for low, high, centres, places in zip((means - away).min(0), (means + away).max(0), means.T, crowded.T, strict=True):
        out.append(np.unique(np.r_[np.linspace(low, high, PLACES), centres, places.clip(low, high)]))
    return out


def outline(region: Region, pair: list[int]) -> np.ndarray:
    """The corners of what a region covers in two columns, in order, the first again at the end.

    Its edges, each turned to point upwards, are walked in the order of their angles, and then back.
    """
    edges = region.edges[:, pair]
    down = (edges[:, 1] < 0) | ((edges[:, 1] == 0) & (edges[:, 0] < 0))
    lowest = region.origin[pair] + edges[down].sum(0)
    edges = np.where(down[:, None], -edges, edges)
    edges = edges[np.arctan2(edges[:, 1], edges[:, 0]).argsort()]
    return lowest + np.cumsum([np.zeros(2), *edges, *-edges], axis=0)
