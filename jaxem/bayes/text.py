"""Posteriors and comparisons in plain text, for 80 columns: warnings first. Imports nothing but what it is given."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import pandas as pd

    from .posterior import Posterior

WIDTH = 80


def posterior(post: Posterior) -> str:
    """A posterior: what is wrong with it, how it was made, what it says."""
    fit = post.fit
    how = f"{post.num_chains} chains of {post.num_samples} draws by {post.sampler}, prior for {fit.family} with K = {fit.num_components}."
    parts = [heading("Warnings", post.warnings)] if post.warnings else []
    parts += [textwrap.fill(how, WIDTH), heading("Starts", post.notes) if post.notes else ""]
    parts.append(
        "Log-posteriors of the optima the chains began at: " + ", ".join(f"{v:.1f}" for v in post.starts["log_posterior"])
    )
    if not post.meaningless:
        parts.append(table(post.summary().drop(columns="warning", errors="ignore")))
    parts.append(table(post.label_free()))
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(title: str, sentences: tuple[str, ...]) -> str:
    """Sentences under a title."""
    lines = [textwrap.fill(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ") for sentence in sentences]
    return "\n".join([title, *lines])


def table(frame: pd.DataFrame) -> str:
    """A table of numbers: digits as the Monte Carlo error allows, diagnostics with few."""
    return frame.to_string(formatters=FORMATS)


def significant(value: float) -> str:
    """Four significant digits, without a power of ten where it can be avoided."""
    return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.3e}"


FORMATS = {
    **dict.fromkeys(("mean", "sd", "low", "high", "mcse_mean"), significant),
    **dict.fromkeys(("ess_bulk", "ess_tail"), "{:.0f}".format),
    "r_hat": "{:.3f}".format,
}
