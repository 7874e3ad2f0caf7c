"""Pictures of components: their means side by side, and how they merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._style import GREY, axes, colour, legend_above, marker, share


if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..result import Fit
    from ..standard_errors import StandardErrors

NORMAL_95 = 1.959964


def profile(fit: Fit, errors: StandardErrors | None = None, ax: Axes | None = None) -> Axes:
    """Draw the means of the clusters in every column, joined by lines (parallel coordinates).

    Every column is in its own units: standard deviations of the whole mixture from its mean. Bars are 95 % intervals of the means
    where standard errors are given; else they show the spread within each cluster, one standard deviation to either side.

    Args:
        fit: A Gaussian or Poisson fit.
        errors: `fit.standard_errors(data)`.
        ax: Where to draw; a new figure without it.
    """
    ax = axes(ax)
    weights, params = fit.params.weights[:, None], fit.params
    counts = hasattr(params, "rates")
    means = params.rates if counts else params.means
    within = params.rates if counts else np.diagonal(params.covariances, axis1=1, axis2=2)
    centre = (weights * means).sum(0)
    unit = np.sqrt((weights * (within + (means - centre) ** 2)).sum(0))
    bars = np.sqrt(within) if errors is None else NORMAL_95 * (errors.params.rates if counts else errors.params.means)
    places = np.arange(len(fit.columns))
    for k in range(fit.num_components):
        aside = 0.12 * (k - (fit.num_components - 1) / 2) / max(fit.num_components - 1, 1)
        ax.errorbar(
            places + aside,
            (means[k] - centre) / unit,
            yerr=bars[k] / unit,
            color=colour(k),
            marker=marker(k),
            markersize=7,
            linewidth=1.6,
            elinewidth=1.3,
            capsize=3,
            label=share(fit, k),
        )
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    long = max(map(len, fit.columns)) * len(fit.columns) > 60
    ax.set_xticks(places, fit.columns, rotation=35 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.4, len(fit.columns) - 0.6)
    ax.set_ylabel("standard deviations from the mean")
    said = "bars: spread within clusters" if errors is None else "bars: 95 % intervals of the means"
    legend_above(
        ax,
        [handle for handle, _ in zip(*ax.get_legend_handles_labels(), strict=True)],
        title=f"{fit.family}, K = {fit.num_components}; {said}",
    )
    return ax


def merging_tree(merges: Any, ax: Axes | None = None, labels: Any = None) -> Axes:
    """Draw which components are merged, one pair at a time, from the bottom up, each step with what it costs or saves.

    Args:
        merges: Shape (k − 1, 3), as SciPy's linkages begin: numbers of the two merged, and a value, such as the entropy that is
            left. Numbers from k on are merged components, in order.
        ax: Where to draw; a new figure without it.
        labels: Names of the k components; their numbers from 1 without them.
    Raises:
        ValueError: if `merges` is no such table.
    """
    ax, steps = axes(ax), np.asarray(merges, float)
    k = len(steps) + 1
    if steps.ndim != 2 or steps.shape[1] < 3 or not np.array_equal(np.sort(steps[:, :2], axis=None), np.arange(2 * k - 2)):
        raise ValueError(
            f"merges must have one row (a, b, value) for each of k - 1 merges, each number once; got shape {steps.shape}"
        )
    members: dict[int, list[int]] = {j: [j] for j in range(k)}
    for step, (a, b) in enumerate(steps[:, :2].astype(int)):
        members[k + step] = members[a] + members[b]
    order = members[2 * k - 2]
    place = {j: (float(order.index(j)), float(k)) for j in range(k)}
    for step, (a, b) in enumerate(steps[:, :2].astype(int)):
        (left, low), (right, lower), top = place[a], place[b], float(k - 1 - step)
        ax.plot([left, left, right, right], [low, top, top, lower], color="black", linewidth=1.6)
        middle = (left + right) / 2
        ax.annotate(f"{steps[step, 2]:.3g}", (middle, top), (5, 3), textcoords="offset points", fontsize=9)
        place[k + step] = (middle, top)
    for j in range(k):
        ax.plot(*place[j], marker=marker(j), color=colour(j), markersize=10, clip_on=False)
    names = [str(j + 1) for j in range(k)] if labels is None else list(labels)
    ax.set_xticks(range(k), [names[j] for j in order])
    ax.set_yticks(range(1, k + 1))
    ax.invert_yaxis()
    ax.set_ylim(k + 0.2, 0.6)
    ax.set(xlabel="component", ylabel="clusters left")
    return ax
