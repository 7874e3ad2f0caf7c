"""What the command shows a person: the report, and the progress bar. Imports rich and NumPy, and reads selections and fits.

Everything is written for 80 columns and stays readable without colour: a mark, not a colour, carries the meaning. rich leaves
colour out of pipes and where NO_COLOR is set.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from .plot import separation


if TYPE_CHECKING:
    import pandas as pd

    from ._plain import PlainTable
    from .result import Fit
    from .selection import Selection

INDENT = 2
READABLE = 100  # columns beyond which lines of prose get hard to follow
LONGEST_NAME = 20
MOST_NAMED = 8
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


def _prose(text: str, width: int, indent: int = 0, hang: int = 0, style: str = "") -> list[Text]:
    """A paragraph in lines; "K = 3" stays together."""
    margins: dict[str, Any] = {"initial_indent": " " * indent, "subsequent_indent": " " * (indent + hang)}
    lines = textwrap.wrap(text.replace("K = ", "K\xa0=\xa0"), min(width, READABLE), break_on_hyphens=False, **margins)
    return [Text(line.replace("\xa0", " "), style) for line in lines]


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
    names = [str(column) for column in frame.columns]
    names = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], "…", names[-1]]
    missing = int(np.isnan(np.asarray(frame, dtype=float)).sum())
    weights = "" if selection.num_rows == len(frame) else f" Weights add up to {selection.num_rows:,g}."
    families, ks = _axes(selection)
    several = "families" if "poisson" in families else "structures"
    kinds = f"{len(families)} {several}" if len(families) > 1 else f"Family {families[0]}"
    run = len(ks) > 1 and ks == list(range(ks[0], ks[-1] + 1))
    seed = selection.seed[0] if len(selection.seed) == 1 else selection.seed
    span = f"{ks[0]}..{ks[-1]}" if run else ", ".join(map(str, ks))
    return (
        f"{name}: {_many(len(frame), 'row')}, {_many(len(frame.columns), 'column')} ({', '.join(names)}), "
        f"{_many(missing, 'cell') if missing else 'nothing'} missing.{weights} "
        f"{kinds}, K = {span}, {_many(num_restarts, 'restart')} each, seed {seed}."
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def choice(selection: Selection) -> str:
    """The chosen model in a line."""
    best, name = selection.best, selection.criterion
    return (
        f"Chosen: {best.family} with K = {best.num_components}: {name.upper()} {getattr(best, name):.1f}, "
        f"log-likelihood {best.log_likelihood:.1f}, {best.num_params} parameters."
    )


def criterion_table(selection: Selection, width: int) -> list[Text]:
    """The criterion by family (rows) and number of components (columns), with its legend, in lines."""
    name, best = selection.criterion, selection.ranking()[:1]
    chosen = (best[0].family, best[0].num_components) if best else None
    values = {(row["family"], row["num_components"]): row for row in selection.cells}
    families, components = _axes(selection)
    marks = {key: _mark(key == chosen, row) for key, row in values.items()}

    def cell(key: Any, digits: int) -> Text:
        mark = marks[key]
        text = "- " if mark == "-" else f"{values[key][name]:.{digits}f}{mark or ' '}"
        return Text(text, {"*": "bold green", "~": "dim", "-": "dim"}.get(mark, ""))

    def columns(digits: int) -> list[list[Text]]:
        stub = [Text("K"), *map(Text, families)]
        return [stub, *([Text(f"{k} ", "bold"), *(cell((family, k), digits) for family in families)] for k in components)]

    # A tenth is enough to see a difference that matters (2), and is given up where that saves a second block.
    lines, shorter = grid(columns(1), width, gap=1), grid(columns(0), width, gap=1)
    lines = shorter if len(shorter) < len(lines) else lines
    used = [f"{mark} {meaning}" for mark, meaning in LEGEND.items() if mark in marks.values()]
    return [Text(f"{name.upper()}, lower is better", "bold"), *lines, *_prose("; ".join(used), width, INDENT, style="dim")]


def _axes(selection: Selection) -> tuple[list[str], list[int]]:
    """The families and the numbers of components that were tried."""
    return list(dict.fromkeys(row["family"] for row in selection.cells)), sorted(
        {row["num_components"] for row in selection.cells}
    )


def _mark(chosen: bool, row: Any) -> str:
    if not math.isfinite(row["log_likelihood"]):
        return "-"
    return "*" if chosen else "~" if row["spurious"] else "?" if row["trust"] == "low" else ""


def cluster_table(fit: Fit, width: int) -> list[Text]:
    """The parameters of a fit in the data's own units, in lines: a cluster a row, or a column where that is too wide."""
    k = fit.num_components
    weighted = (fit.sizes % 1).any()
    names = [_short(name) for name in fit.columns]
    cells, caption = _parameters(fit)
    shown = np.sort(separation(fit).argsort()[::-1][:MOST_COLUMNS])
    share_digits = 2 if fit.params.weights.min() >= 0.005 else 3
    lead = [
        ("cluster", [str(j + 1) for j in range(k)]),
        ("share", [f"{share:.{share_digits}f}" for share in fit.params.weights]),
        ("weight" if weighted else "rows", [f"{size:,.{int(weighted)}f}" for size in fit.sizes]),
    ]
    table = [*lead, *((names[j], cells[j]) for j in shown)]
    upright = [[Text(title, "bold"), *map(Text, entries)] for title, entries in table]
    turned = [[Text(title, "bold") for title, _ in table], *([Text(entries[j]) for _, entries in table] for j in range(k))]
    lines = grid(upright, width)
    if len(lines) > k + 1:
        lines = grid(turned, width)
    if len(shown) < len(fit.columns):
        caption += f"; the {len(shown)} columns of {len(fit.columns)} that set the clusters apart most"
    return [*lines, *_prose(caption, width, INDENT, style="dim")]


def _parameters(fit: Fit) -> tuple[list[list[str]], str]:
    """Each column's parameters by cluster, with the digits that its spread within clusters allows; and what they are."""
    if hasattr(fit.params, "means"):
        sds = np.sqrt(np.diagonal(fit.params.covariances, axis1=-2, axis2=-1)).T
        pairs = zip(fit.params.means.T, sds, strict=True)
        return [[f"{m} ± {s}" for m, s in zip(_numbers(mean, sd), _numbers(sd, sd), strict=True)] for mean, sd in pairs], (
            "mean ± standard deviation within the cluster"
        )
    name, values = next((name, array) for name, array in fit.params.asdict().items() if array.ndim == 2)
    return [_numbers(column, np.sqrt(column)) for column in values.T], f"{name}: expected count"


def _numbers(values: np.ndarray, sds: np.ndarray) -> list[str]:
    """Values with two digits of a typical standard deviation; in powers of ten where that would take too many."""
    typical, largest = float(np.median(sds)), float(np.abs(values).max())
    digits = _decimals(typical)
    if digits > 6 or largest >= 1e7:
        figures = 3 if largest == 0 else min(max(3, 1 + math.floor(math.log10(largest)) + digits), 9)
        return [f"{value:.{figures}g}" for value in values]
    return [f"{value:.{digits}f}" if abs(value) >= 0.5 * 10**-digits or not value else f"{value:.1g}" for value in values]


def _decimals(spread: float) -> int:
    """Decimals that show two digits of a spread."""
    return max(0, 1 - math.floor(math.log10(spread))) if spread > 0 else 2


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def grid(columns: Sequence[Sequence[Text]], width: int, gap: int = 3) -> list[Text]:
    """Columns of cells as lines, in as few blocks as fit the width; each begins with the first column, which is flush left."""
    widths = [max(cell.cell_len for cell in column) for column in columns]
    room = width - INDENT - widths[0]
    rest = range(1, len(columns))
    for per_block in range(len(rest), 0, -1):
        blocks = [rest[start : start + per_block] for start in range(0, len(rest), per_block)]
        if all(sum(gap + widths[j] for j in block) <= room for block in blocks):
            break
    per_block = -(-len(rest) // len(blocks))  # the same number of blocks, evenly filled
    lines = []
    for start in range(0, len(rest), per_block):
        lines += [Text()] if lines else []
        for row in range(len(columns[0])):
            line = Text(" " * INDENT) + columns[0][row] + " " * (widths[0] - columns[0][row].cell_len)
            for j in rest[start : start + per_block]:
                line += Text(" " * (gap + widths[j] - columns[j][row].cell_len)) + columns[j][row]
            line.rstrip()
            lines.append(line)
    return lines


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
