"""Fits and parameters in plain text: sentences in lines, tables in blocks, numbers with the digits that they deserve.

The command shows the same tables in a terminal's colours, and counts clusters from 1 where these count from 0. Imports NumPy, families,
spread and trust.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import families, trust
from .spread import category, moments, separation


if TYPE_CHECKING:
    from .result import Fit, Params

WIDTH = 80
NUMBERED = "in Python cluster 1 is number 0"  # wherever clusters are counted from 1
INDENT = 2
LONGEST_NAME = 20
MOST_NAMED = 8
MOST_COLUMNS = 8  # data columns shown
MOST_CLUSTERS = 20
NORMAL = 1e5  # degrees of freedom: from here on no data of less than 10⁹ rows would tell a t distribution from a normal one
MOST_LINES = 40  # of one table, where it can do with fewer columns

Table = list[tuple[str, list[str]]]  # columns: title and entries


def of_fit(fit: Fit) -> str:
    """A fit: how good it is, its clusters as `predict` numbers them, how far to trust it, its warnings."""
    terms = f" ({', '.join(fit.terms).replace('_', ' ')})" if fit.terms else ""
    head = f"{fit.family} with K = {fit.num_components}{terms}: {rows(fit.num_rows)}, {columns(fit.columns)}."
    levels = {"log-likelihood": fit.log_likelihood, "parameters": fit.num_params, "BIC": fit.bic, "ICL": fit.icl}
    facts = [*((name, [level(number)]) for name, number in levels.items()), ("status", [fit.status.name.lower()])]
    trusted = [trust.sentence(fit)] if fit.trust else []
    own = not families.known(fit.family)  # what its parameters mean, its family knows
    return joined(
        filled(head, hang=INDENT),
        upright(facts),
        of_params(fit.params).splitlines() if own else _clusters(fit),
        listed("How far to trust it", trusted),
        listed("Warnings", fit.warnings),
    )


def _clusters(fit: Fit) -> list[str]:
    """The table of the clusters, with as many of the columns as leave it short."""

    def lines(most_columns: int) -> list[str]:
        table, caption = clusters(fit, most_columns, MOST_CLUSTERS)
        caption += "; numbered as by predict" + (", which calls noise -1" if fit.noise is not None else "")
        return [*compact(table), *filled(caption, INDENT)]

    return fewer(lines, MOST_COLUMNS)


def clusters(fit: Fit, most_columns: int, most_clusters: int | None = None, first: int = 0) -> tuple[Table, str]:
    """A table with a row a cluster, its number, share, rows and parameters in the data's own units; and what these are.

    Args:
        fit: A fit of a family that comes with jaxem.
        most_columns: How many of the data's columns to show: those that set the clusters apart most.
        most_clusters: How many clusters to show, and noise below them; all, and no noise, without it.
        first: The number of the first cluster.
    """
    k, weights, sizes = fit.num_components, fit.params.weights, fit.sizes
    values, caption = _parameters(fit)
    shown = np.sort(separation(fit).argsort()[::-1][:most_columns])
    digits, weighted = 2 if weights.min() >= 0.005 else 3, (sizes % 1).any()
    table = [
        ("cluster", [str(first + j) for j in range(k)]),
        ("share", [f"{share:.{digits}f}" for share in weights]),
        ("weight" if weighted else "rows", [f"{size:,.{int(weighted)}f}" for size in sizes]),
        *([("dof", [degrees(number) for number in fit.params.dof])] if hasattr(fit.params, "dof") else []),
        *((short(fit.columns[j]), values[j]) for j in shown),
    ]
    if most_clusters is not None:
        table = [(title, entries[:most_clusters]) for title, entries in table]
        if fit.noise is not None:
            noise = ["-1", f"{fit.noise_weight:.{digits}f}", f"{fit.num_rows - sizes.sum():,.{int(weighted)}f}"]
            noise += [""] * (len(table) - len(noise))
            table = [(title, [*entries, entry]) for (title, entries), entry in zip(table, noise, strict=True)]
        if k > most_clusters:
            caption += f"; the first {most_clusters} clusters of {k}"
    if len(shown) < len(fit.columns):
        caption += f"; the {len(shown)} columns of {len(fit.columns)} that set the clusters apart most"
    return [column for column in table if "nan" not in column[1]], caption  # rows are not known where no data were given


def _parameters(fit: Fit) -> tuple[list[list[str]], str]:
    """Each column's parameters by cluster, with the digits that its spread within clusters allows; and what they are."""
    if fit.family == "categorical":
        likeliest = fit.params.probabilities.argmax(axis=2).T
        shares = fit.params.probabilities.max(axis=2).T
        pairs = enumerate(zip(likeliest, shares, strict=True))
        said = "the most probable category, and its probability"
        return [[f"{short(category(fit, j, own))} {p:.2f}" for own, p in zip(*both, strict=True)] for j, both in pairs], said
    means, variances = moments(fit)
    if fit.family == "poisson":
        return [numbers(column, np.sqrt(column)) for column in means.T], "rates: expected count"
    pairs = zip(means.T, np.sqrt(variances).T, strict=True)
    said = "mean ± standard deviation within the cluster"
    if hasattr(fit.params, "dof"):
        said = "centre ± scale of a t distribution with dof degrees of freedom"
    return [[f"{m} ± {s}" for m, s in zip(numbers(mean, sd), numbers(sd, sd), strict=True)] for mean, sd in pairs], said


def degrees(dof: float) -> str:
    """Degrees of freedom with three digits; so many that a t distribution is a normal one are infinite."""
    return f"{dof:.3g}" if dof < NORMAL else "∞"


def of_params(params: Params) -> str:
    """Parameters with four digits: vectors in a table, small matrices below it, and a word on what is not shown."""
    arrays = params.asdict()
    small = [name for name, array in arrays.items() if array.ndim == 3 and array[0].size > 1 and _rows(array) <= MOST_LINES]
    matrices = [[name, *_matrices(arrays[name])] for name in small if max(arrays[name].shape[1:]) <= MOST_COLUMNS]
    shown = [lines[0] for lines in matrices]
    return joined(fewer(lambda count: _vectors(arrays, shown, count), MOST_COLUMNS), *matrices)


def _vectors(arrays: dict[str, np.ndarray], shown: list[str], most_columns: int) -> list[str]:
    """What is a number or a vector for each component, in a table, and a word on what is not, unless it is shown elsewhere."""
    k = len(arrays["weights"])
    table: Table = [("component", [str(j) for j in range(k)][:MOST_CLUSTERS])]
    notes = [f"the first {MOST_CLUSTERS} components of {k}"] if k > MOST_CLUSTERS else []
    for name, array in arrays.items():
        places = list(np.ndindex(*array.shape[1:]))
        if array.ndim > 2 and len(places) > 1:
            notes += [] if name in shown else [f"{name}, {' × '.join(map(str, array.shape))}, not shown"]
            continue
        if len(places) > most_columns:
            notes.append(f"{name} of the first {most_columns} columns of {len(places)}")
        for place in places[:most_columns]:
            title = f"{name}[{', '.join([':', *map(str, place)])}]" if place else name
            table.append((title, [four(number) for number in array[:MOST_CLUSTERS][(slice(None), *place)]]))
    return [*upright(table), *(filled("; ".join(notes), INDENT) if notes else [])]


def _rows(array: np.ndarray) -> int:
    """Rows of the matrices (k, a, b) one below the other; those of one where all are the same."""
    return (1 if (array == array[0]).all() else len(array)) * array.shape[1]


def _matrices(array: np.ndarray) -> list[str]:
    """Matrices (k, a, b) one below the other; one where all are the same."""
    count = _rows(array) // array.shape[1]
    names = [f"[{j}]" for j in range(count)] if count > 1 or len(array) == 1 else ["all"]
    label = [name if row == 0 else "" for name in names for row in range(array.shape[1])]
    entries = array[:count].reshape(-1, array.shape[2]).T
    return grid([label, *([four(number) for number in column] for column in entries)], WIDTH)


def upright(table: Table, width: int = WIDTH, gap: int = 3) -> list[str]:
    """A table with its titles on top."""
    return grid([[title, *entries] for title, entries in table], width, gap)


def compact(table: Table) -> list[str]:
    """A table with its titles on top or, where that is too wide, at the left."""
    return either_way([[title, *entries] for title, entries in table], WIDTH, grid)


def either_way(columns: list[list[Any]], width: int, lay: Callable[..., list[Any]]) -> list[Any]:
    """Columns as lines or, where these do not fit the width in one block, turned."""
    lines = lay(columns, width)
    return lines if len(lines) == len(columns[0]) else lay([list(row) for row in zip(*columns, strict=True)], width)


def fewer(lines_of: Callable[[int], list[str]], most: int) -> list[str]:
    """Lines about so many columns, or about as many as leave the lines few."""
    lines = lines_of(most)
    while len(lines) > MOST_LINES and most > 1:
        most -= 1
        lines = lines_of(most)
    return lines


def grid(
    columns: Sequence[Sequence[Any]],
    width: int,
    gap: int = 3,
    length: Callable[[Any], int] = len,
    line: Callable[..., Any] | None = None,
) -> list[Any]:
    """Columns of cells as lines, in as few blocks as fit the width; each begins with the first column, which is flush left.

    Args:
        columns: Cells, by column.
        width: Of the lines.
        gap: Blanks between columns, at least.
        length: How wide a cell is.
        line: Makes a line of its pieces, without blanks at its end.
    """
    line = line or (lambda pieces: "".join(pieces).rstrip())
    widths = [max(map(length, column)) for column in columns]
    room = width - INDENT - widths[0]
    rest = range(1, len(columns))
    blocks = [rest]
    for per_block in range(len(rest), 0, -1):
        blocks = [rest[start : start + per_block] for start in range(0, len(rest), per_block)]
        if all(sum(gap + widths[j] for j in block) <= room for block in blocks):
            break
    per_block = -(-len(rest) // len(blocks))  # the same number of blocks, evenly filled
    lines = []
    for start in range(0, len(rest), per_block):
        lines += [line([])] if lines else []
        for row, first in enumerate(columns[0]):
            pieces = [" " * INDENT, first, " " * (widths[0] - length(first))]
            for j in rest[start : start + per_block]:
                pieces += [" " * (gap + widths[j] - length(columns[j][row])), columns[j][row]]
            lines.append(line(pieces))
    return lines


def filled(text: str, indent: int = 0, hang: int = 0, width: int = WIDTH) -> list[str]:
    """A paragraph in lines; "K = 3" stays together."""
    margins: dict[str, Any] = {"initial_indent": " " * indent, "subsequent_indent": " " * (indent + hang)}
    lines = textwrap.wrap(text.replace("K = ", "K\xa0=\xa0"), width, break_on_hyphens=False, **margins)
    return [line.replace("\xa0", " ") for line in lines]


def listed(title: str, sentences: Iterable[str]) -> list[str]:
    """Sentences under a title; nothing where there are none."""
    lines = [line for sentence in sentences for line in filled(sentence, INDENT, 2)]
    return [title, *lines] if lines else []


def joined(*blocks: Sequence[str]) -> str:
    """Blocks of lines, with a blank line between."""
    return "\n\n".join("\n".join(block) for block in blocks if block)


def many(count: int, what: str) -> str:
    """A number of things."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def rows(number: float) -> str:
    """A number of rows, or their weight where that is not whole."""
    if np.isnan(number):
        return "an unknown number of rows"
    return many(int(number), "row") if number == int(number) else f"rows of weight {number:,.1f}"


def columns(names: Sequence[str]) -> str:
    """How many columns, and their names; of many the first and the last."""
    told = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], "…", names[-1]]
    return f"{many(len(names), 'column')} ({', '.join(told)})"


def level(number: float) -> str:
    """A log-likelihood, a criterion or a count: a tenth is enough to see a difference that matters (2)."""
    if np.isnan(number):
        return "unknown"
    return f"{number:.1f}" if isinstance(number, float) else str(number)


def significant(value: float) -> str:
    """Four significant digits or, above a thousand, one decimal; powers of ten only where they must be."""
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def four(value: float) -> str:
    """Four significant digits, zeros at the end included, for columns of numbers; nothing but 0 for none."""
    return significant(value) if not value or 1e3 <= abs(value) < 1e7 else f"{value:#.4g}".rstrip(".")


def numbers(values: np.ndarray, sds: np.ndarray) -> list[str]:
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


def short(name: str) -> str:
    """A column's name, cut where it is long."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
