"""What the command shows a person: the report, and the progress bar. Imports rich, NumPy, text, categories and selection.

Everything is written for 80 columns and stays readable without colour: a mark, not a colour, carries the meaning. rich leaves
colour out of pipes and where NO_COLOR is set.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from . import text
from .categories import is_missing
from .selection.text import asked, axes, choice, seeded
from .text import INDENT, NUMBERED


if TYPE_CHECKING:
    import pandas as pd

    from ._plain import PlainTable
    from .result import Fit
    from .selection import Selection

READABLE = 100  # columns beyond which lines of prose get hard to follow
MOST_COLUMNS = 20  # data columns shown of the chosen model
LEGEND = {
    "*": "chosen",
    "?": "of low trust: a better fit may well exist",
    "~": "next to singular, never chosen",
    "-": "no fit",
}


def report(selection: Selection, heading: str, closing: str) -> None:
    """Print a selection: data, table, choice, trust, warnings, work.

    Args:
        selection: What `jaxem.select` found; one cell is shown without a table.
        heading: What the data are, in a sentence or two.
        closing: What the work was.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    width, ranking = console.width, selection.ranking()
    blocks = [_prose(heading, width)]
    if len(selection.cells) > 1:
        blocks.append(criterion_table(selection, width))
    if ranking:
        blocks.append([Text(choice(selection), "bold"), *cluster_table(ranking[0], width)])
        blocks.append([Text("How far to trust it", "bold"), *_points(selection.trust_report, width)])
    if selection.warnings:
        blocks.append([Text("Warnings", "bold yellow"), *_points(selection.warnings, width)])
    blocks.append(_prose(closing, width))
    for number, block in enumerate(blocks):
        for line in [Text(), *block] if number else block:
            console.print(line, soft_wrap=True)


def _prose(sentences: str, width: int, indent: int = 0, hang: int = 0, style: str = "") -> list[Text]:
    return [Text(line, style) for line in text.filled(sentences, indent, hang, min(width, READABLE))]


def _points(sentences: Sequence[str], width: int) -> list[Text]:
    return [line for sentence in sentences for line in _prose(sentence, width, INDENT, 2)]


def heading(selection: Selection, name: str, frame: pd.DataFrame | PlainTable, num_restarts: int) -> str:
    """The data and the question in two sentences.

    Args:
        selection: What was found.
        name: The file's name.
        frame: The columns used.
        num_restarts: Starts a cell.
    """
    cells = np.asarray(frame)
    missing = int(np.isnan(cells).sum()) if cells.dtype.kind in "fiu" else sum(map(is_missing, cells.ravel()))
    weights = "" if selection.num_rows == len(frame) else f" Weights add up to {selection.num_rows:,g}."
    return (
        f"{name}: {text.rows(len(frame))}, {text.columns([str(column) for column in frame.columns])}, "
        f"{text.many(missing, 'cell') if missing else 'nothing'} missing.{weights} "
        f"{asked(selection)}, {text.many(num_restarts, 'restart')} each, {seeded(selection)}."
    )


def criterion_table(selection: Selection, width: int) -> list[Text]:
    """The criterion by family (rows) and number of components (columns), with its legend, in lines."""
    name, best = selection.criterion, selection.ranking()[:1]
    chosen = (best[0].family, best[0].num_components) if best else None
    values = {(row["family"], row["num_components"]): row for row in selection.cells}
    families, components = axes(selection)
    marks = {key: _mark(key == chosen, row) for key, row in values.items()}

    def cell(key: Any, digits: int) -> Text:
        mark = marks[key]
        shown = "- " if mark == "-" else f"{values[key][name]:.{digits}f}{mark or ' '}"
        return Text(shown, {"*": "bold green", "~": "dim", "-": "dim"}.get(mark, ""))

    def columns(digits: int) -> list[list[Text]]:
        stub = [Text("K"), *map(Text, families)]
        return [stub, *([Text(f"{k} ", "bold"), *(cell((family, k), digits) for family in families)] for k in components)]

    # A tenth is enough to see a difference that matters (2), and is given up where that saves a second block.
    lines, shorter = grid(columns(1), width, gap=1), grid(columns(0), width, gap=1)
    lines = shorter if len(shorter) < len(lines) else lines
    used = [f"{mark} {meaning}" for mark, meaning in LEGEND.items() if mark in marks.values()]
    return [Text(f"{name.upper()}, lower is better", "bold"), *lines, *_prose("; ".join(used), width, INDENT, style="dim")]


def _mark(chosen: bool, row: Any) -> str:
    if not math.isfinite(row["log_likelihood"]):
        return "-"
    return "*" if chosen else "~" if row["spurious"] else "?" if row["trust"] == "low" else ""


def cluster_table(fit: Fit, width: int) -> list[Text]:
    """The parameters of a fit in the data's own units, in lines: a cluster a row, or a column where that is too wide."""
    table, caption = text.clusters(fit, MOST_COLUMNS, first=1)
    cells = [[Text(title, "bold"), *map(Text, entries)] for title, entries in table]
    return [*text.either_way(cells, width, grid), *_prose(f"{caption}; {NUMBERED}", width, INDENT, style="dim")]


def grid(columns: Sequence[Sequence[Text]], width: int, gap: int = 3) -> list[Text]:
    """Columns of cells as lines, in as few blocks as fit the width; each begins with the first column, which is flush left."""

    def line(pieces: Sequence[str | Text]) -> Text:
        out = Text.assemble(*pieces)
        out.rstrip()
        return out

    return text.grid(columns, width, gap, lambda cell: cell.cell_len, line)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int, float], None]]:
    """A progress bar on stderr that vanishes when the work is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    words = TextColumn("{task.description:<30}"), TextColumn("{task.fields[lowest]}")
    columns = (words[0], BarColumn(), MofNCompleteColumn(), TextColumn("runs"), words[1], TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("compiling", total=None, lowest="")

        def tell(phase: str, done: int, total: int, lowest_bic: float) -> None:
            lowest = f"best BIC {lowest_bic:.1f}" if math.isfinite(lowest_bic) else ""
            bar.update(task, description=phase, completed=done, total=total, lowest=lowest)

        yield tell
