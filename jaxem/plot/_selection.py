"""Pictures of a selection: the criterion, the restarts, the traces of EM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._picture import COLOURS, axes
from ._style import GREY, colour, legend_above, marker


if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from ..result import Fit
    from ..selection import Selection

ORIGINS = ("all rows", "start", "split", "merge", "split-merge")
MOST_TRACES = 5
NEAR = 0.1  # nats up to which the scale of restarts is linear
LEAST_GAP = 1e-9  # nats; what is left below is rounding


def criteria(selection: Selection, ax: Axes | None = None) -> Axes:
    """Draw the criterion by number of components, one line a family; the choice is ringed, fits next to singular are hollow.

    The scale is set by the neighbourhood of the choice. Families that never come near it are named as off the scale.

    Args:
        selection: What `jaxem.select` returned.
        ax: Where to draw; a new figure without it.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    ax, name = axes(ax), selection.criterion
    table = selection.table[np.isfinite(selection.table[name])]
    ranking = selection.ranking()
    low, top = _window(table, name, ranking[0]) if ranking else (-np.inf, np.inf)
    handles = []
    for number, (family, rows) in enumerate(table.groupby("family", sort=False)):
        dashes = "-" if number < len(COLOURS) else "--"  # colours come round again
        look: dict[str, Any] = {"color": colour(number), "marker": marker(number), "markersize": 5.5, "linestyle": dashes}
        ks, values, spurious = (rows[column].to_numpy() for column in ("num_components", name, "spurious"))
        ax.plot(ks, values, **look, markevery=np.flatnonzero(~spurious).tolist(), linewidth=1.4)
        hollow: dict[str, Any] = look | {"linestyle": "", "markerfacecolor": "white"}
        ax.plot(ks[spurious], values[spurious], **hollow)
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
    legend_above(ax, handles, fontsize=9, columnspacing=1.2, handletextpad=0.4)
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


def restarts(selection: Selection, family: str, num_components: int, ax: Axes | None = None) -> Axes:
    """Draw how far all runs of one cell ended below its best fit, sorted: was the best log-likelihood replicated?

    The scale is logarithmic beyond a tenth of a nat. Pale marks are runs that were given up after the first stage; hollow ones
    are next to singular, and may lie above the best, as they are never chosen: their likelihood says nothing of the data. Where
    many rows were searched on a subsample first, the runs on all rows come first, then those on the subsample, each below the best on
    its own rows, for log-likelihoods of different rows do not compare.

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

    fit, runs, ax = selection[family, num_components], selection.runs, axes(ax)
    runs = runs[(runs["family"] == family) & (runs["num_components"] == num_components) & np.isfinite(runs["log_likelihood"])]
    few = runs["rows"] == "subsample"
    best = np.where(few, _highest(runs[few]), fit.log_likelihood)
    runs = runs.assign(gap=best - runs["log_likelihood"]).sort_values(["rows", "gap"])  # "all" before "subsample"
    runs["rank"] = np.arange(1, len(runs) + 1)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    order, level = "run, highest log-likelihood first", "nats below the best"
    reached = f"{fit.replicated} of {fit.num_finalists} starts that were followed reached the best"
    if few.any():
        order += f": {(~few).sum()} on all rows, then {few.sum()} on a subsample"
        level = f"{level} on the same rows"
        ax.axvline((~few).sum() + 0.5, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    handles = []
    for number, origin in enumerate(origin for origin in ORIGINS if (runs["origin"] == origin).any()):
        some = runs[runs["origin"] == origin]
        look: dict[str, Any] = {"color": colour(number), "marker": marker(number), "linestyle": "", "markersize": 6}
        for (finished, spurious), part in some.groupby(["finalist", "spurious"]):
            fill: dict[str, Any] = {"markerfacecolor": "white"} if spurious else {}
            ax.plot(part["rank"], part["gap"], **look, **fill, alpha=1.0 if finished else 0.5 if spurious else 0.25)
        handles.append(Line2D([], [], **look, label=origin))
    grey: dict[str, Any] = {"color": GREY, "marker": "o", "linestyle": ""}
    if not runs["finalist"].all():
        handles.append(Line2D([], [], **grey, alpha=0.4, label="given up early"))
    if runs["spurious"].any():
        handles.append(Line2D([], [], **grey, markerfacecolor="white", label="next to singular, never chosen"))
    ax.set_yscale("symlog", linthresh=NEAR)
    least, most = ax.get_ylim()
    ax.set_ylim(min(least, -NEAR / 10), max(most, 1.2 * NEAR))  # where no run is farther off, 0 and a tenth of a nat still show
    ax.yaxis.set_major_formatter("{x:g}")
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=order, ylabel=level)
    look = {"fontsize": 9, "handletextpad": 0.1, "columnspacing": 1.0}
    legend_above(ax, handles, most=4, title=f"{family}, K = {num_components}: {reached}", **look)
    return ax


def _highest(runs: pd.DataFrame) -> float:
    """The highest log-likelihood among runs to convergence; among spikes only where there is nothing else."""
    ended = runs[runs["finalist"]]
    sound = ended[~ended["spurious"]]
    return next((some["log_likelihood"].max() for some in (sound, ended, runs) if len(some)), np.nan)


def traces(fits: Fit | Sequence[Fit] | Selection, ax: Axes | None = None) -> Axes:
    """Draw how far each run of EM was below its end, step by step; the scale is logarithmic, so that EM's own pace is a line.

    Args:
        fits: A fit, several, or a selection, of which the best few by its criterion are drawn.
        ax: Where to draw; a new figure without it.
    """
    ax = axes(ax)
    given: Any = fits
    several = (
        given.ranking()[:MOST_TRACES] if hasattr(given, "ranking") else given if isinstance(given, list | tuple) else [given]
    )
    for number, fit in enumerate(several):
        history = np.asarray(fit.history)
        gap = history[-1:] - history  # with a prior not the distance from the log-likelihood: it holds the log-prior too
        steps = np.flatnonzero(np.isfinite(gap) & (gap > LEAST_GAP)) + 1
        look = {"color": colour(number), "marker": marker(number), "markersize": 4, "markevery": 0.1, "linewidth": 1.4}
        ax.plot(steps, gap[steps - 1], **look, label=f"{fit.family}, K = {fit.num_components}: {fit.num_steps} steps")
    ax.set_yscale("log")
    ax.set(xlabel="step", ylabel="nats below the end")
    ax.legend(loc="upper right", frameon=False, fontsize=9)
    return ax
