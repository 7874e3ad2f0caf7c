"""EM beside MCMC as one page of HTML that needs nothing but itself: warnings first. Imports text."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

from .._version import __version__
from . import text


if TYPE_CHECKING:
    import pandas as pd

    from .compare import Comparison

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bad: #d55e00; }
body { font: 17px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .15rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.warning { border-left: 4px solid var(--bad); padding: .2rem 1rem; background: var(--soft); }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: white; }
small, figcaption { opacity: .8; font-size: .9rem; }
@media print { body { font-size: 11pt; max-width: none; } h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""
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
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if both.warnings:
        parts.append(f'<div class="warning"><h2>Read this first</h2>{_list(both.warnings)}</div>')
    how = f"{fit.num_rows:g} rows; {post.num_chains} chains of {post.num_samples} draws by {post.sampler}."
    parts.append(f"<p>{html.escape(how)}</p>{_list(post.notes)}")
    if len(both.table):
        parts += ["<h2>Parameters</h2>", _table(both.table)]
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{text.significant(v)}</td></tr>" for k, v in both.scalars.items())
    parts += ["<h2>The whole</h2>", f'<div class="wide"><table>{rows}</table></div>', "<h2>Label-free quantities</h2>"]
    parts += [_table(post.label_free()), "<h2>Pictures</h2>"]
    parts += [_figure(ax, CAPTIONS[name]) for name, ax in both.figures().items()]
    parts.append(f"<p><small>jaxem {__version__}. z: difference of posterior mean and estimate in posterior sds.</small></p>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _list(sentences: tuple[str, ...]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>" if sentences else ""


def _table(frame: pd.DataFrame) -> str:
    head = "<tr><th></th>" + "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns) + "</tr>"
    lines = []
    for label, row in frame.iterrows():
        cells = "".join(f"<td>{text.cell(str(name), value)}</td>" for name, value in row.items())
        lines.append(f"<tr><td>{html.escape(str(label))}</td>{cells}</tr>")
    return f'<div class="wide"><table>{head}{"".join(lines)}</table></div>'


def _figure(ax: Any, what: str) -> str:
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=160)
    picture = base64.b64encode(buffer.getvalue()).decode()
    shown = html.escape(what)
    return f'<figure><img alt="{shown}" src="data:image/png;base64,{picture}"><figcaption>{shown}.</figcaption></figure>'
