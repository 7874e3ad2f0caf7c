"""Where mclust's table has no value: why, and what is jaxem's?

    python no_value.py --reference DIR [--only iris,wreath] [--out no_value.json] [--rscript Rscript]

mclust 6.0.0 fits every cell from one hierarchical clustering, and leaves it without a value when a covariance is singular on the way.
`no_value.R` repeats that way step by step; here the same cells are searched with default settings, jaxem begins from mclust's own
partition as well, and mclust goes on from jaxem's responsibilities: where both say the same number there, the cell has a value.
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from run import MCLUST, table

import jaxem


def missing(reference: pathlib.Path, name: str) -> tuple[list[tuple[str, int]], int]:
    """The cells of mclust's table that have no value, and its largest K."""
    bic = json.loads((reference / "mclust" / f"{name}.json").read_text())["bic_table"]
    rows = zip(bic["G"], bic["bic"], strict=True)
    return [(model, k) for k, values in rows for model, value in zip(bic["models"], values, strict=True) if value is None], max(
        bic["G"]
    )


def mclust(rscript: str, data: pathlib.Path, cells: list[tuple[str, int]], folder: pathlib.Path) -> list[dict[str, str]]:
    """What `no_value.R` says of the cells."""
    words = [f"{family}:{k}" for family, k in cells]
    script = pathlib.Path(__file__).with_name("no_value.R")
    said = subprocess.run([rscript, script, data, folder, *words], check=True, capture_output=True, text=True).stdout
    return list(csv.DictReader(said.splitlines()))


def number(text: str) -> float | None:
    return None if text == "NA" else float(text)


def explain(reference: pathlib.Path, name: str, rscript: str) -> list[dict]:
    """One row a cell without a value."""
    cells, most = missing(reference, name)
    if not cells:
        return []
    frame = table(reference, name)
    selection = jaxem.select(frame, sorted({family for family, _ in cells}), range(1, most + 1))
    with tempfile.TemporaryDirectory() as folder:
        for family, k in cells:
            if (family, k) in selection.fits:
                resp = selection[family, k].predict_proba(frame)
                np.savetxt(pathlib.Path(folder) / f"resp_{family}_{k}.csv", resp, delimiter=",")
        told = mclust(rscript, reference / "data" / f"{name}.csv", cells, pathlib.Path(folder))
    return [_row(name, selection, cell, theirs) for cell, theirs in zip(cells, told, strict=True)]


def _row(name: str, selection: jaxem.Selection, cell: tuple[str, int], theirs: dict[str, str]) -> dict:
    row = {"data": name, "family": cell[0], "K": cell[1]}
    row |= {word: number(theirs[word]) for word in ("smallest_group", "fails_at_step", "rows_before", "ratio_before")}
    fit = selection.fits.get(cell)
    if fit is None:
        return row | {
            "ours": None,
            "status": next(c["status"] for c in selection.cells if (c["family"], c["num_components"]) == cell),
        }
    ours = {
        "ours": round(fit.log_likelihood, 3),
        "mclust_from_ours": number(theirs["from_ours"]),
        "status": fit.status.name.lower(),
    }
    ours |= {"spurious": fit.spurious, "trust": fit.trust, "num_failed": fit.num_failed, "smallest": float(fit.sizes.min())}
    return row | ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--only", default=",".join(MCLUST))
    parser.add_argument("--rscript", default="Rscript")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("no_value.json"))
    arguments = parser.parse_args()
    rows = [row for name in arguments.only.split(",") for row in explain(arguments.reference, name, arguments.rscript)]
    for row in rows:
        print(row)
    arguments.out.write_text(json.dumps({"versions": {"jaxem": jaxem.__version__}, "cells": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
