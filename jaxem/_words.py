"""The words that the commands share: a file, columns, a seed, where to write; and what a shell may complete. Imports typer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def examples(*lines: str) -> str:
    """Examples at the end of a help page, as they are: the backspace keeps click from filling them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def completing(known: str) -> Callable[[str], list[str]]:
    """What a shell completes a word with: names from a module, which is imported only then."""

    def complete(incomplete: str) -> list[str]:
        import importlib

        module, name = known.split(":")
        found = getattr(importlib.import_module(f".{module}", __package__), name)
        before, comma, last = incomplete.rpartition(",")
        words: list[str] = list(found() if callable(found) else found)  # type: ignore[arg-type]
        return [before + comma + word for word in words if word.startswith(last)]

    return complete


File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A table: CSV, TSV, Parquet, Feather, NPY, NPZ or h5ad, gzipped or not; - is standard input. An empty cell is missing.",
    ),
]
Array = Annotated[str | None, typer.Option(metavar="NAME", help="Which array of an NPZ or h5ad file, such as X_pca.")]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="The columns to use, by name; all without it. A first line of numbers is data, unless names are asked for that stand in it.",
    ),
]
Weights = Annotated[str | None, typer.Option(metavar="COLUMN", help="A column of row weights; 2 is a row seen twice.")]
Labels = Annotated[str | None, typer.Option(metavar="COLUMN", help="A column of known clusters from 1, 0 or empty if unknown.")]
Believed = Annotated[
    str | None,
    typer.Option(
        "--prior", metavar="NAME", help="fraley-raftery: clusters cannot degenerate (MAP); maximum likelihood without."
    ),
]
Noise = Annotated[bool, typer.Option("--noise", help="Let rows that fit no cluster be noise, spread evenly.")]
Equal = Annotated[bool, typer.Option("--equal-weights", help="Give all clusters the same share.")]
Restarts = Annotated[int, typer.Option(metavar="N", min=1, help="Independent starts for each family and K.")]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="The same seed gives the same answer.")]
Moves = Annotated[bool, typer.Option("--moves/--no-moves", help="Improve on the starts by splitting and merging.")]
Resamples = Annotated[
    int, typer.Option(metavar="N", min=0, help="Make the whole choice again on N parts of the rows: is it stable?")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="A folder for the model, every run and the pictures.")]
Report = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Where to write a report with pictures, as one page.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the choice in a line; no report, no progress bar.")]
Cache = Annotated[bool, typer.Option("--cache/--no-cache", help="Keep compiled programs for the next time.")]
