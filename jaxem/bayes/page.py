"""EM beside MCMC as one page of HTML that needs nothing but itself: warnings first. Imports text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._page import bullets, document, figure, prose, table
from .._version import __version__
from ..text import many
from . import text


if TYPE_CHECKING:
    import pandas as pd

    from .compare import Comparison

CAPTIONS = {
    "forest": "Estimates by EM ± 2 standard errors, posterior means and 95 % intervals; each row in its posterior's standard deviations",
    "log_likelihood": "The log-likelihood over draws, and EM's maximum",
    "contours": "The components by EM, and those of some draws",
    "coclustering": "The probability that two rows belong together",
    "by_k": "Criteria by number of components",
}


def comparison(both: Comparison) -> str:
    """The page as HTML text."""
    fit, post = both.fit, both.posterior
    title = f"EM and MCMC: {fit.family}, K = {fit.num_components}"
    parts = []
    if both.warnings:
        parts.append(f'<div class="warning"><h2>Read this first</h2>{bullets(both.warnings)}</div>')
    how = f"{fit.num_rows:g} rows; {many(post.num_chains, 'chain')} of {post.num_samples} draws by {post.sampler}."
    parts.append(f"<p>{prose(how)}</p>{bullets(post.notes)}")
    if len(both.table):
        parts += ["<h2>Parameters</h2>", _table(both.table)]
    rows = [f"<tr><td>{prose(k)}</td><td>{text.significant(v)}</td></tr>" for k, v in both.scalars.items()]
    parts += ["<h2>The whole</h2>", table(rows), "<h2>Label-free quantities</h2>"]
    parts += [_table(post.label_free()), "<h2>Pictures</h2>"]
    parts += [figure(ax, CAPTIONS[name]) for name, ax in both.figures().items()]
    what = (
        "se: standard error by EM; z: difference of posterior mean and estimate in posterior sds; ess: effective sample size."
    )
    parts.append(f"<p><small>jaxem {__version__}. {what}</small></p>")
    return document(title, parts, "72rem")


def _table(frame: pd.DataFrame) -> str:
    head = (
        "<tr><th></th>" + "".join(f"<th>{prose(text.SHORT.get(str(name), str(name)))}</th>" for name in frame.columns) + "</tr>"
    )
    lines = []
    for label, row in frame.iterrows():
        cells = "".join(f"<td>{text.cell(str(name), value)}</td>" for name, value in row.items())
        lines.append(f"<tr><td>{prose(str(label))}</td>{cells}</tr>")
    return table([head, *lines])
