"""What `jaxem select` and `jaxem fit` share: a table in, a selection, and all that is said and written of it."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import typer

from . import _process, io


A_WEIGHT = "a weight is a number, 0 or more"
A_LABEL = "a label is the number of a cluster, from 1 on, and an empty cell where it is not known"


@dataclasses.dataclass(frozen=True)
class Tables:
    """Where the data are.

    Attributes:
        file: A path, or "-".
        array: Which array of the file.
        columns: Names between commas; None for all.
        weights: The column of the row weights.
        labels: The column of the clusters that are known.
    """

    file: str
    array: str | None
    columns: str | None
    weights: str | None
    labels: str | None = None

    def read(self, plainly: bool = False, names: bool = False) -> tuple[str, Any, Any, Any]:
        """The file's name, the columns to compute with, the weights and the labels; without pandas where that will do.

        Args:
            plainly: Whether pandas need not be loaded.
            names: Whether columns may hold names of categories.
        """
        wanted = listed(self.columns) if self.columns else None
        besides = [own for own in (self.weights, self.labels) if own]
        if plainly and not (self.array or besides) and (plain := io.read_plain(self.file, wanted or ())):
            name, table = plain
            if wanted is None or set(wanted) <= set(table.columns):
                return name, table if wanted is None else table.only(list(dict.fromkeys(wanted))), None, None
        name, frame = io.read_table(self.file, self.array, [*(wanted or ()), *besides])
        weight, label = (
            io.numeric(name, frame, [own], advice=advice)[own] if own else None
            for own, advice in ((self.weights, A_WEIGHT), (self.labels, A_LABEL))
        )
        weight = None if weight is None else weight.to_numpy()
        label = None if label is None else label.fillna(0).to_numpy() - 1  # people count from 1
        return name, io.numeric(name, frame, wanted, besides, names=names), weight, label


@dataclasses.dataclass(frozen=True)
class Output:
    """Where the answer goes.

    Attributes:
        out: A folder for every result.
        report: A file for the report.
        as_json: Whether to print JSON.
        quiet: Whether to print a line only.
    """

    out: Path | None
    report: Path | None
    as_json: bool
    quiet: bool

    def write(self, selection: Any, frame: Any, weight: Any, label: Any) -> str:
        """Write what was asked for, and say in a sentence what was."""
        said = ""
        if self.out:
            said += f" Written to {self.out}: {', '.join(io.write_selection(selection, frame, self.out))}."
        if self.report:
            selection.report(self.report, frame, weight, label)
            said += f" The report is {self.report}."
        return said


def answer(tables: Tables, output: Output, cache: bool, **asked: Any) -> None:
    """What `select` and `fit` share: read, search, write, report."""
    from .families import nominal

    name, frame, weight, label = tables.read(not (output.out or output.report), nominal(asked["families"]))
    with io.folder(output.out), io.folder(output.report.parent if output.report else None):
        _process.use_all_cores()
        _process.keep_compiled(cache)
        from . import selection

        try:
            with _progress(not output.quiet) as tell:
                spent, began = _process.compiling(), time.perf_counter()
                found = selection.select(frame, weights=weight, labels=label, progress=tell, **asked)
                seconds = time.perf_counter() - began
        except selection.Interrupted as stopped:
            if not stopped.selection.fits:
                typer.echo("jaxem: nothing was finished yet, so there is nothing to keep", err=True)
            elif said := output.write(stopped.selection, frame, weight, label):
                cut = any(fit.status.name == "RUNNING" for fit in stopped.selection.fits.values())
                what = "what a part of the rows has told" if cut else "what was finished"
                typer.echo(f"jaxem: {what} is kept.{said}", err=True)
            raise
        written = output.write(found, frame, weight, label)
        closing = f"{len(found.lanes):,} runs in {seconds:.1f} s, {spent():.1f} s of it compiling.{written}"
        if output.as_json:
            typer.echo(found.to_json())
        else:
            _say(found, name, frame, closing, output.quiet, asked["num_restarts"])
    found.best  # noqa: B018 - raises, with the reasons, where there is none


def _progress(show: bool) -> contextlib.AbstractContextManager[Any]:
    """A progress bar, where it is wanted and stderr is a terminal; None elsewhere, without loading what draws it."""
    if not show or not sys.stderr.isatty():
        return contextlib.nullcontext()
    from ._terminal import progress

    return progress()


def _say(found: Any, name: str, frame: Any, closing: str, quiet: bool, num_restarts: int) -> None:
    """The answer for a person: a line, or the report."""
    from . import _terminal

    if quiet:
        typer.echo(f"{_terminal.choice(found)} Trust: {found.best.trust}.")
    else:
        _terminal.report(found, _terminal.heading(found, name, frame, num_restarts), closing)


def listed(text: str) -> list[str]:
    """Names between commas; quotes keep a comma inside a name."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True)) if name.strip()]


def numbers(text: str) -> list[int]:
    """Numbers of components: "1:9" with both ends, "2,3,5", or both mixed."""
    try:
        ends = [[int(end) for end in part.split(":")] for part in text.split(",")]
        out = [k for first, *last in ends for k in range(first, (last or [first])[0] + 1)]
        if min(out) < 1 or any(len(part) > 2 for part in ends):
            raise ValueError
    except ValueError:
        raise ValueError(f"--components takes numbers from 1 up, such as 1:9 or 2,3,5; got {text!r}") from None
    return out
