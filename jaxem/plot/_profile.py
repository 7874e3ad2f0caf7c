"""Pictures of components: their means side by side, and how they merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._picture import axes
from ..spread import category, listed, matrices, moments
from ._style import GREY, colour, legend_above, marker, share


if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..result import Fit
    from ..selection import MergeTree
    from ..standard_errors import StandardErrors

NORMAL_95 = 1.959964


def profile(fit: Fit, errors: StandardErrors | None = None, ax: Axes | None = None) -> Axes:
    """Draw the means of the clusters in every column, or the probabilities of its categories, joined by lines (parallel coordinates).

    Every column is in its own units: standard deviations of the whole mixture, noise aside, from its mean. Bars are 95 % intervals
    of the means where standard errors are given, and the family publishes means or is Poisson; else they show the spread within each
    cluster, one standard deviation to either side. Probabilities are drawn as they are; of two categories, those of the second.

    Args:
        fit: A fitted mixture.
        errors: `fit.standard_errors(data)`.
        ax: Where to draw; a new figure without it.
    """
    if fit.family == "categorical":
        return _shares(fit, errors, axes(ax))
    weights = fit.params.weights[:, None] / fit.params.weights.sum()
    means, within = moments(fit)
    centre = (weights * means).sum(0)
    unit = np.sqrt((weights * (within + (means - centre) ** 2)).sum(0))
    known = {} if errors is None else errors.params.asdict()
    centres = "rates" if fit.family == "poisson" else "means" if matrices(fit) is not None else ""
    of_means = known.get(centres)
    bars = np.sqrt(within) if of_means is None else NORMAL_95 * of_means
    said = "bars: spread within clusters" if of_means is None else "bars: 95 % intervals of the means"
    ax = _lines(fit, (means - centre) / unit, bars / unit, list(fit.columns), said, axes(ax))
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_ylabel("standard deviations from the mean")
    return ax


def _shares(fit: Fit, errors: StandardErrors | None, ax: Axes) -> Axes:
    """The probability of each category within each cluster."""
    column, number = np.array(listed(fit), int).reshape(-1, 2).T
    chance = fit.params.probabilities[:, column, number]
    bars, said = np.zeros_like(chance), "probabilities"
    if errors is not None:
        bars, said = NORMAL_95 * errors.params.probabilities[:, column, number], "bars: 95 % intervals"
        bars = np.stack([np.minimum(bars, chance), np.minimum(bars, 1 - chance)], axis=1)
    names = [f"{fit.columns[j]}: {category(fit, j, c)}" for j, c in zip(column.tolist(), number.tolist(), strict=True)]
    ax = _lines(fit, chance, bars, names, said, ax)
    ax.set_ylabel("probability within the cluster")
    ax.set_ylim(-0.03, 1.03)
    return ax


def _lines(fit: Fit, heights: np.ndarray, bars: np.ndarray, names: list[str], said: str, ax: Axes) -> Axes:
    """A line for each cluster through its heights (k, m) at named places, with bars (k, m), or (k, 2, m) where they are uneven."""
    places = np.arange(len(names))
    for k in range(fit.num_components):
        aside = 0.12 * (k - (fit.num_components - 1) / 2) / max(fit.num_components - 1, 1)
        ax.errorbar(
            places + aside,
            heights[k],
            yerr=bars[k],
            color=colour(k),
            marker=marker(k),
            markersize=7,
            linewidth=1.6,
            elinewidth=1.3,
            capsize=3,
            label=share(fit, k),
        )
    long = max(map(len, names)) * len(names) > 60
    ax.set_xticks(places, names, rotation=35 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.4, len(names) - 0.6)
    legend_above(
        ax,
        [handle for handle, _ in zip(*ax.get_legend_handles_labels(), strict=True)],
        title=f"{fit.family}, K = {fit.num_components}; {said}",
    )
    return ax


def merging_tree(tree: MergeTree, ax: Axes | None = None) -> Axes:
    """Draw which components are merged, one pair at a time, each step with the entropy that is left; the elbow is dashed.

    Args:
        tree: What `jaxem.selection.merge` made of a fit.
        ax: Where to draw; a new figure without it.
    """
    ax, k = axes(ax), len(tree.entropy)
    order = _leaves(tree.partitions)
    place: dict[tuple[int, ...], tuple[float, float]] = {(j,): (float(order.index(j)), float(k)) for j in range(k)}
    for left_over in range(k - 1, 0, -1):
        (joined,) = set(tree.partitions[left_over]) - set(tree.partitions[left_over + 1])
        (left, low), (right, lower) = (place[part] for part in tree.partitions[left_over + 1] if set(part) < set(joined))
        ax.plot([left, left, right, right], [low, left_over, left_over, lower], color="black", linewidth=1.6)
        place[joined] = ((left + right) / 2, float(left_over))
        ax.annotate(
            f"{round(tree.entropy[left_over - 1], 6):.3g}", place[joined], (5, 3), textcoords="offset points", fontsize=9
        )
    for j in range(k):
        ax.plot(*place[(j,)], marker=marker(j), color=colour(j), markersize=10, clip_on=False)
    if tree.elbow < k:
        ax.axhline(tree.elbow, color=GREY, linestyle="--", linewidth=1.2, zorder=0)
    ax.set_xticks(range(k), [str(j + 1) for j in order])
    ax.set_yticks(range(1, k + 1))
    ax.set_ylim(k + 0.2, 0.6)
    ax.set(xlabel="component", ylabel="clusters left")
    ax.set_title(f"{tree.fit.family}, K = {k}: entropy left in nats; the elbow is at {tree.elbow}", fontsize=10)
    return ax


def _leaves(partitions: dict[int, Any]) -> list[int]:
    """The components in an order in which no lines cross: what is joined stands together."""
    order = [list(part) for part in partitions[1]]
    for count in sorted(partitions):
        order = [piece for part in order for piece in ([own for own in map(list, partitions[count]) if set(own) <= set(part)])]
    return [j for part in order for j in part]
