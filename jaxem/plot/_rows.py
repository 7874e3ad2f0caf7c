"""Pictures of what a fit says of each row: how sure its cluster is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._picture import axes
from ._style import aside, colour, counts, dark, legend_above, marker, name_categories, noise, share, shown, two_columns


if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..result import Fit

DOUBTFUL = 0.1  # a row whose most probable cluster has a probability below 0.9 is marked


def uncertainty(fit: Fit, data: Any, ax: Axes | None = None, columns: tuple[str, str] | None = None) -> Axes:
    """Draw how uncertain the cluster of each row is, 1 − max z: the larger a mark the more; black rims beyond 0.1.

    Crosses are noise, which has no rim: they are black beyond 0.1.

    Args:
        fit: A fitted mixture.
        data: The rows, as given to `jaxem.fit`.
        ax: Where to draw; a new figure without it.
        columns: Names of the two columns to show; without them those that set the clusters apart most. A fit of one column shows
            the uncertainty itself on the vertical axis.
    Raises:
        ValueError: for a column that the fit does not have.
    """
    ax, rows = axes(ax), shown(fit.rows(data, missing=True))
    resp = fit.predict_proba(rows)
    labels, doubt = resp.argmax(axis=1), 1 - resp.max(axis=1)
    if len(fit.columns) == 1:
        points, names = np.stack([rows[:, 0], doubt], axis=1), (fit.columns[0], "uncertainty")
    else:
        pair = two_columns(fit, columns)
        points, names = rows[:, pair], tuple(fit.columns[j] for j in pair)
        points = aside(points) if counts(fit, rows) else points
        name_categories(fit, ax, *pair)
    noise(fit, points, labels, ax)
    order = np.argsort(doubt)
    if fit.noise is not None:
        unsure = (labels == fit.num_components) & (doubt > DOUBTFUL)
        ax.scatter(*points[unsure].T, s=8 + 180 * doubt[unsure], marker="x", color="black", linewidths=1.2)
    for k in range(fit.num_components):
        for rim, some in (("none", doubt <= DOUBTFUL), ("black", doubt > DOUBTFUL)):
            own = order[(labels[order] == k) & some[order]]
            look = {"color": colour(k), "marker": marker(k), "alpha": 0.65, "edgecolor": rim, "linewidths": 0.9}
            ax.scatter(*points[own].T, s=8 + 180 * doubt[own], **look, label=share(fit, k) if rim == "none" else None)
    ax.set(xlabel=names[0], ylabel=names[1])
    black = "black rims" if fit.noise is None else "black"
    many = int((doubt > DOUBTFUL).sum())
    legend = legend_above(
        ax, title=f"{fit.family}, K = {fit.num_components}; {black}: {many} of {len(rows)} rows less than 90 % sure"
    )
    for handle in filter(None, legend.legend_handles):
        handle.set_sizes([30])  # type: ignore[attr-defined]
    return ax


def responsibilities(fit: Fit, data: Any, ax: Axes | None = None) -> Axes:
    """Draw the probability of every cluster for every row as a heat map, rows in the order of their clusters, the surest first.

    Args:
        fit: A fitted mixture.
        data: The rows, as given to `jaxem.fit`.
        ax: Where to draw; a new figure without it.
    """
    ax, resp = axes(ax), fit.predict_proba(shown(fit.rows(data, missing=True)))
    labels = resp.argmax(axis=1)
    order = np.lexsort((-resp.max(axis=1), labels))
    image = ax.imshow(resp[order].T, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    bounds = np.cumsum(np.bincount(labels, minlength=resp.shape[1]))
    for bound in bounds[:-1]:
        ax.axvline(bound - 0.5, color="white", linewidth=1.2)
    names = [str(k + 1) for k in range(fit.num_components)] + ["noise"] * (fit.noise is not None)
    ax.set_yticks(range(len(names)), names)
    for k, tick in enumerate(ax.get_yticklabels()[: fit.num_components]):
        tick.set_color(dark(k))
        tick.set_fontweight("bold")
    ax.set(xlabel="rows, by cluster", ylabel="cluster")
    ax.figure.colorbar(image, ax=ax, label="probability")
    ax.set_title(
        f"{fit.family}, K = {fit.num_components}: {100 * (resp.max(axis=1) > 0.9).mean():.0f} % of rows are 90 % sure",
        fontsize=10,
    )
    return ax
