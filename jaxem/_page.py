"""One page of HTML that needs nothing but itself: its looks, its lists, its pictures. Imports the standard library only."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import Any


STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #0072b2; --bad: #d55e00; }
body { font: 17px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
td.best { font-weight: 700; outline: 2px solid var(--good); }
td.doubt::after { content: "?"; } td.spike { opacity: .6; } td.spike::after { content: "~"; }
.trust, .warning { border-left: 4px solid var(--good); padding: .2rem 1rem; background: var(--soft); }
.warning { border-color: var(--bad); } li { margin: .2rem 0; } ul { padding-left: 1.4rem; }
figure { margin: 1rem 0; max-width: 46rem; } img { width: 100%; height: auto; background: white; }
small, figcaption { opacity: .8; font-size: .9rem; } pre { white-space: pre-wrap; padding: .6rem; background: var(--soft); }
@media print { body { font-size: 10pt; max-width: none; margin: 0; } h2 { break-after: avoid; margin-top: 1.2rem; }
  th, td { padding: .1rem .5rem; } figure, table, tr, .trust, .warning { break-inside: avoid; }
  details table { break-inside: auto; } summary { break-after: avoid; }
  img { width: auto; max-width: 140mm; max-height: 100mm; } .wide { overflow: visible; }
  details::details-content { content-visibility: visible; } }
"""


def prose(value: Any) -> str:
    """A value as HTML text; what stands between backticks becomes code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(str(value)))


def bullets(sentences: Sequence[str]) -> str:
    """A list; nothing for no sentences."""
    return "<ul>" + "".join(f"<li>{prose(sentence)}</li>" for sentence in sentences) + "</ul>" if sentences else ""


def table(lines: Sequence[str]) -> str:
    """Rows, each HTML already, in a table that scrolls by itself where it is too wide."""
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def figure(ax: Any, caption: str) -> str:
    """The figure of Axes, inside the page, with its caption.

    Args:
        ax: Any of its Axes.
        caption: A sentence without its full stop, or a question.
    """
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=160)
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    said = prose(caption) + ("" if caption.endswith("?") else ".")
    return f'<figure><img alt="{html.escape(caption)}" src="{source}"><figcaption>{said}</figcaption></figure>'


def document(title: str, parts: Sequence[str], width: str) -> str:
    """The page.

    Args:
        title: Its title and first heading.
        parts: What follows, as HTML.
        width: The widest that its column gets, such as "46rem".
    """
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join([f"<h1>{prose(title)}</h1>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body style="max-width: {width}">{body}</body></html>\n'
