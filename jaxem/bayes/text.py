"""Posteriors and comparisons in plain text: warnings first. Imports the standard library only."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    import pandas as pd

    from .compare import Comparison
    from .posterior import Posterior

WIDTH = 80
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


def table(frame: pd.DataFrame) -> str:
    """A table of numbers, with the digits that they deserve."""
    cells = frame.apply(lambda column: [cell(str(column.name), value) for value in column])
    return cells.rename(columns=SHORT).to_string()


def cell(name: str, value: Any) -> str:
    """A number of a column as text."""
    if name in COUNTS:
        return f"{value:.0f}"
    return f"{value:.3f}" if name in RATIOS else significant(value)


def significant(value: float) -> str:
    """Four significant digits or, above a thousand, one decimal; powers of ten only where they must be."""
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def _opening(post: Posterior, warnings: tuple[str, ...]) -> list[str]:
    """Warnings, then how the draws were made."""
    parts = [_listed("Read this first:", warnings)] if warnings else []
    fit = post.fit
    how = f"{fit.family} with K = {fit.num_components}: {post.num_chains} chains of {post.num_samples} draws by {post.sampler}."
    densities = ", ".join(f"{value:.1f}" for value in dict.fromkeys(post.starts["log_posterior"]))
    parts.append("\n".join([how, *textwrap.wrap(f"Log-posterior at the optima where chains began: {densities}.", WIDTH)]))
    return [*parts, _listed("", post.notes)] if post.notes else parts


def _listed(title: str, sentences: tuple[str, ...]) -> str:
    """Sentences under a title."""
    lines = [textwrap.fill(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ") for sentence in sentences]
    return "\n".join([title, *lines] if title else lines)
