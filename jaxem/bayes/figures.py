"""Pictures of EM beside MCMC. Imports compare, spread and NumPy; matplotlib in functions.

Each takes a `Comparison` and an `Axes`, or makes one, draws on it and returns it. EM is
always orange, MCMC blue, and their marks differ as well.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .._picture import COLOURS, MARKERS, axes, ellipse
from ..spread import category, listed, separation
from .compare import some_rows


if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .compare import Comparison

EM, MCMC, GREY = "#E69F00", "#0072B2", "#767676"
DRAWS_SHOWN = 40
EDGE = 8  # posterior sds, beyond which a forest does not go
GRID = 400


def forest(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Every parameter: EM's estimate ± 2 standard errors, and the posterior's mean and 95 % interval under it.

    Each row is in its own units: posterior sds from the posterior mean, so that agreement looks the same everywhere. Arrows are
    estimates beyond the edge, as of degrees of freedom, of which short tails say little.
    """
    table = comparison.table
    ax = axes(ax, (6.4, 1.2 + 0.36 * len(table)))
    at = np.arange(len(table))[::-1]
    centre, unit = table["mean"].to_numpy(), table["sd"].to_numpy()
    reach = 2 * table["standard_error"].to_numpy() / unit
    estimate = ((table["estimate"] - centre) / unit).to_numpy()
    near = np.abs(estimate) <= EDGE
    ax.errorbar(estimate[near], at[near] + 0.16, xerr=reach[near], fmt="s", color=EM, capsize=3, label="EM ± 2 standard errors")
    for side, mark in ((0, "<"), (1, ">")):
        for there in at[estimate > EDGE if side else estimate < -EDGE]:
            ax.plot(side, there + 0.16, mark, color=EM, transform=ax.get_yaxis_transform(), clip_on=False)
    ends = np.abs(np.stack([table["low"] - centre, table["high"] - centre]) / unit)
    ax.errorbar(np.zeros(len(at)), at - 0.16, xerr=ends, fmt="o", color=MCMC, capsize=3, label="posterior, 95 %")
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_yticks(at, list(table.index))
    low, high = ax.get_xlim()
    within = max(low, -EDGE), min(high, EDGE)
    ax.set(xlabel="posterior sds from the posterior mean", xlim=within, ylim=(-0.6, len(at) - 0.4))
    _legend(ax)
    return ax


def log_likelihood(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """A histogram of the log-likelihood over draws, with EM's maximum as a line, and half the parameters below it as another."""
    ax, fit = axes(ax), comparison.fit
    ax.hist(comparison.posterior.log_likelihood.sum(-1).ravel(), 40, color=MCMC, alpha=0.75, label="draws")
    ax.axvline(fit.log_likelihood, color=EM, linewidth=2.2, label="maximum, by EM")
    expected = fit.log_likelihood - fit.num_params / 2
    ax.axvline(expected, color=EM, linewidth=1.6, linestyle="--", label="p/2 below it: a normal posterior's mean")
    ax.set(xlabel="log-likelihood", ylabel="draws")
    _legend(ax)
    return ax


def contours(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """The components by EM over those of some draws: 95 % regions in the two columns that set them apart most, or densities."""
    ax, fit = axes(ax), comparison.fit
    draws = _some_draws(comparison)
    if "probabilities" in draws:
        _shares(comparison, draws, ax)
    elif len(fit.columns) == 1 or "rates" in draws:
        column = int(separation(fit).argmax())
        _densities(comparison, draws, column, ax)
    else:
        pair = sorted(separation(fit).argsort()[::-1][:2].tolist())
        for one in range(len(draws["weights"])):
            _ellipses({name: array[one] for name, array in draws.items()}, pair, ax, color=MCMC, alpha=0.18, linewidth=0.8)
        _ellipses(fit.params.asdict(), pair, ax, color=EM, linewidth=2.2)
        ax.plot([], [], color=MCMC, label="some draws")
        ax.plot([], [], color=EM, linewidth=2.2, label="EM")
        ax.set(xlabel=fit.columns[pair[0]], ylabel=fit.columns[pair[1]])
        ax.autoscale_view()
    _legend(ax)
    return ax


def coclustering(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """The probability that two rows belong together: by EM above the diagonal, by MCMC below it; rows in the order of EM's clusters."""
    ax, post = axes(ax, (5.6, 5.0)), comparison.posterior
    rows = some_rows(len(post.responsibilities))
    em = post.responsibilities[rows]
    order = np.lexsort((em.max(1), em.argmax(1)))
    ours = dataclasses.replace(post, probabilities=post.probabilities[:, :, rows[order]]).coclustering()
    both = np.where(np.tri(len(rows), dtype=bool), ours, em[order] @ em[order].T)
    image = ax.imshow(both, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    ax.plot([-0.5, len(rows) - 0.5], [-0.5, len(rows) - 0.5], color="white", linewidth=1)
    ax.figure.colorbar(image, ax=ax, label="probability of belonging together")
    ax.set(title="EM above the diagonal, MCMC below", xlabel="rows, by EM's clusters", xticks=[], yticks=[])
    return ax


def by_k(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Criteria by number of components, each as its distance from its own best; posterior probabilities of K on the right.

    Spurious fits are left out.
    """
    from matplotlib.ticker import MaxNLocator

    ax, table = axes(ax), comparison.by_k
    if "family" in table:
        table = table[table["family"] == comparison.fit.family]
    if "spurious" in table:  # a likelihood without bound would be the lowest, and the others' distance from it
        table = table[~table["spurious"]]
    names = [name for name in ("bic", "aic", "icl", "loo") if name in table and np.isfinite(table[name]).any()]
    for number, name in enumerate(names):
        look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "label": name.upper()}
        ax.plot(table["num_components"], table[name] - table[name].min(), **look)
    ax.axvline(comparison.fit.num_components, color=GREY, linewidth=0.8, linestyle=":")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="number of components K", ylabel="above its lowest (lower is better)", yscale="symlog")
    ax.set_ylim(bottom=-0.3)
    if "posterior" in table:
        right = ax.twinx()
        right.bar(table["num_components"], table["posterior"], color=GREY, alpha=0.35, width=0.6)
        right.set(ylabel="p(K | data), bars", ylim=(0, None))
    _legend(ax)
    return ax


def _legend(ax: Axes) -> None:
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)


def _some_draws(comparison: Comparison) -> dict[str, np.ndarray]:
    """A few draws, evenly spaced, as arrays (s, k, …)."""
    draws = comparison.posterior.draws
    total = draws["weights"].shape[0] * draws["weights"].shape[1]
    kept = np.unique(np.linspace(0, total - 1, min(DRAWS_SHOWN, total)).round().astype(int))
    return {name: a.reshape(total, *a.shape[2:])[kept] for name, a in draws.items() if name in comparison.fit.params.asdict()}


def _ellipses(params: dict[str, np.ndarray], pair: list[int], ax: Axes, **look: Any) -> None:
    """The regions that hold 95 % of each component."""
    for mean, matrix, dof in zip(params["means"], *_matrices(params), strict=True):
        ax.add_patch(ellipse(mean[pair], matrix[np.ix_(pair, pair)], 0.95, dof, **look))


def _shares(comparison: Comparison, draws: dict[str, np.ndarray], ax: Axes) -> None:
    """Each component's probabilities by EM, a line, over those of some draws; of two categories, those of the second."""
    fit = comparison.fit
    column, number = np.array(listed(fit), int).reshape(-1, 2).T
    places = np.arange(len(column))
    for one in draws["probabilities"][:, :, column, number]:
        ax.plot(places, one.T, color=MCMC, alpha=0.2, linewidth=0.8)
    ax.plot(places, fit.params.probabilities[:, column, number].T, color=EM, linewidth=2.2)
    ax.plot([], [], color=MCMC, label="some draws")
    ax.plot([], [], color=EM, linewidth=2.2, label="EM")
    names = [f"{fit.columns[j]}: {category(fit, j, c)}" for j, c in zip(column.tolist(), number.tolist(), strict=True)]
    ax.set_xticks(places, names, rotation=35, ha="right")
    ax.set(ylabel="probability within the component", ylim=(-0.03, 1.03))


def _densities(comparison: Comparison, draws: dict[str, np.ndarray], column: int, ax: Axes) -> None:
    """One column's density by EM over those of some draws."""
    params = comparison.fit.params.asdict()
    centres = params.get("means", params.get("rates", np.empty(0)))[:, column]
    sds = np.sqrt(centres if "rates" in params else _matrices(params)[0][:, column, column])
    low, high = (centres - 4 * sds).min(), (centres + 4 * sds).max()
    counts = "rates" in params
    grid = np.arange(max(0, int(low)), int(high) + 1) if counts else np.linspace(low, high, GRID)
    for one in range(len(draws["weights"])):
        label = "some draws" if one == 0 else None
        ax.plot(
            grid,
            _density({name: a[one] for name, a in draws.items()}, column, grid),
            color=MCMC,
            alpha=0.2,
            linewidth=0.8,
            label=label,
        )
    ax.plot(grid, _density(params, column, grid), color=EM, linewidth=2.2, label="EM")
    ax.set(xlabel=comparison.fit.columns[column], ylabel="probability" if counts else "density", ylim=(0, None))


def _density(params: dict[str, np.ndarray], column: int, grid: np.ndarray) -> np.ndarray:
    from scipy import stats

    if "rates" in params:
        return params["weights"] @ stats.poisson.pmf(grid, params["rates"][:, [column]])
    matrices, dof = _matrices(params)
    sds = np.sqrt(matrices[:, column, column])
    return params["weights"] @ stats.t.pdf(grid, dof[:, None], params["means"][:, [column]], sds[:, None])


def _matrices(params: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Covariances or scatter matrices (k, d, d), and degrees of freedom (k,), infinite for Gaussian components."""
    if "scatters" in params:
        return params["scatters"], params["dof"]
    return params["covariances"], np.full(len(params["weights"]), np.inf)
