"""Posteriors and comparisons in plain text: warnings first. Imports text of layer 3, and NumPy."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..text import INDENT, MOST_LINES, WIDTH, Table, filled, joined, level, many, significant, upright


if TYPE_CHECKING:
    import pandas as pd

    from .calibration import Calibration
    from .compare import Comparison
    from .hierarchical.posterior import HierarchicalPosterior
    from .number import KComparison
    from .partitions import PartitionPosterior
    from .posterior import Posterior

RARE = 0.001  # probability below which a number of components is told of with others
COUNTS = ("ess_bulk", "ess_tail")
RATIOS = ("r_hat", "sd_ratio", "z")
SHORT = {"standard_error": "se", "ess_bulk": "ess", "ess_tail": "ess_tail", "mcse_mean": "mcse", "sd_ratio": "sd/se"}


def posterior(post: Posterior) -> str:
    """A posterior: what is wrong with it, how it was made, what it says."""
    parts = _opening(post, post.warnings)
    if not post.meaningless:
        parts.append(table(post.summary().drop(columns=["warning", "mcse_mean", "ess_tail"], errors="ignore")))
    parts.append(table(post.label_free().drop(columns=["mcse_mean", "ess_tail"])))
    return "\n\n".join(parts) + "\n"


def comparison(both: Comparison) -> str:
    """EM beside MCMC: what is wrong, the parameters, the scalars."""
    parts = _opening(both.posterior, both.warnings)
    if len(both.table):
        parts.append(table(both.table.drop(columns=["low", "high"])))
    else:
        parts.append(table(both.posterior.label_free().drop(columns=["mcse_mean", "ess_tail"])))
    widest = max(len(name) for name in both.scalars)
    parts.append("\n".join(f"{name:<{widest}}  {significant(value):>10}" for name, value in both.scalars.items()))
    return "\n\n".join(parts) + "\n"


def number_of_components(by_k: KComparison) -> str:
    """The posterior of K beside PSIS-LOO and EM's criteria."""
    return joined(_first(by_k.warnings), filled(f"{choice_of_k(by_k)}."), _sizes(by_k.posterior, by_k.table, by_k.best))


def partitions(post: PartitionPosterior) -> str:
    """The posterior of the numbers of components and of clusters, and how well the draws have mixed."""
    return joined(
        _first(post.warnings),
        filled(f"{sampled(post.model, post.num_components, 'sweep')}."),
        _sizes(post),
        table(post.table).splitlines(),
    )


def hierarchical(post: HierarchicalPosterior) -> str:
    """The table of a hierarchical model's numbers, or its beginning."""
    lines = table(post.table.head(MOST_LINES).drop(columns=["ess_tail"])).splitlines()
    more = f"the first {MOST_LINES} of {len(post.table)} numbers; all are in .table"
    return joined(
        _first(post.warnings),
        filled(f"{sampled(post.model, post.log_likelihood, 'draw')}."),
        lines + [more] * (len(post.table) > MOST_LINES),
    )


def calibration(found: Calibration) -> str:
    """How uniform the ranks of every quantity are."""
    count = len(next(iter(found.ranks.values())))
    verdict = "uniform as far as this number of data sets can tell" if found.uniform else "not uniform"
    head = f"{many(count, 'data set')} from the prior, {found.num_draws} draws from each posterior: ranks are {verdict}."
    return joined(_first(found.warnings), filled(head), table(found.table).splitlines())


def choice_of_k(by_k: KComparison) -> str:
    """The choice, and how well K has mixed, in a line."""
    return f"K = {by_k.best} by {by_k.method}; effective sample size of K {by_k.ess:.0f}, R-hat {by_k.rhat:.3f}"


def sampled(model: str, draws: np.ndarray, what: str) -> str:
    """What was sampled, and how long, in a line; draws are (chains, draws, …)."""
    return f"{model}: {many(draws.shape[0], 'chain')} of {many(draws.shape[1], what)}"


def _sizes(post: PartitionPosterior, beside: pd.DataFrame | None = None, best: int = 0) -> list[str]:
    """How probable each number of components is, and each number of those that have rows; what is known beside, by K."""
    pairs = ("p(K)", post.posterior_k, post.num_components), ("p(filled)", post.posterior_filled, post.num_filled)
    if beside is None and np.ptp(post.num_components) == 0:  # K is a bound, and says nothing
        pairs = pairs[1:]
    known = {} if beside is None else {int(row["num_components"]): row for row in beside.to_dict(orient="records")}
    sizes = list(known) or list(range(1, len(post.posterior_k) + 1))
    shown = [k for k in sizes if k == best or max(shares[k - 1] for _, shares, _ in pairs) >= RARE]
    columns: Table = [("K", [f"{k}{'*' * (k == best)}" for k in shown])]
    for name, shares, draws in pairs:
        columns.append((name, [f"{shares[k - 1]:.4f}" for k in shown]))
        columns.append(("error", [_error(draws == k) for k in shown]))
    if known:
        wanted = {"PSIS-LOO": "loo", "se": "loo_se", "BIC": "bic", "ICL": "icl"}
        columns += [(title, [level(known[k][name]) for k in shown]) for title, name in wanted.items()]
    steadier = ", had draws been counted; p(K) is steadier than that" if len(pairs) > 1 else ""
    notes = [f"filled: components that have rows; error: of Monte Carlo{steadier}"]
    notes += ["* the choice"] if best else []
    rest = [k for k in sizes if k not in shown]
    if rest:
        left = {name: shares[np.array(rest) - 1].sum() for name, shares, _ in pairs}
        told = " and ".join(f"{name} {share:.4f}" for name, share in left.items())
        notes.append(f"K = {_ranges(rest)}: below {RARE} each, together {told}")
    return [*upright(columns, gap=2), *(line for note in notes for line in filled(note, INDENT, 2))]


def _error(hits: np.ndarray) -> str:
    """The Monte Carlo error of how often something is so at draws (chains, draws)."""
    from . import diagnostics

    return f"{diagnostics.mcse(hits, 'mean'):.4f}" if hits.any() and not hits.all() else ""


def _ranges(numbers: list[int]) -> str:
    """Whole numbers in increasing order, runs of them by their ends."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in zip(starts, ends, strict=True))


def _first(warnings: tuple[str, ...]) -> list[str]:
    """Warnings under their title; nothing where there are none."""
    return [_listed("Read this first:", warnings)] if warnings else []


def table(frame: pd.DataFrame) -> str:
    """A table of numbers, with the digits that they deserve."""
    cells = frame.apply(lambda column: [cell(str(column.name), value) for value in column])
    return cells.rename(columns=SHORT).to_string()


def cell(name: str, value: Any) -> str:
    """A number of a column as text."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞"
    if name in COUNTS:
        return f"{value:.0f}"
    return f"{value:.3f}" if name in RATIOS else significant(value)


def _opening(post: Posterior, warnings: tuple[str, ...]) -> list[str]:
    """Warnings, then how the draws were made."""
    parts, fit = _first(warnings), post.fit
    chains = many(post.num_chains, "chain")
    how = f"{fit.family} with K = {fit.num_components}: {chains} of {post.num_samples} draws by {post.sampler}."
    densities = ", ".join(f"{value:.1f}" for value in dict.fromkeys(post.starts["log_posterior"]))
    parts.append("\n".join([how, *textwrap.wrap(f"Log-posterior at the optima where chains began: {densities}.", WIDTH)]))
    return [*parts, _listed("", post.notes)] if post.notes else parts


def _listed(title: str, sentences: tuple[str, ...]) -> str:
    """Sentences under a title."""
    lines = [textwrap.fill(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ") for sentence in sentences]
    return "\n".join([title, *lines] if title else lines)
