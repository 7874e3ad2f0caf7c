"""What would close the gaps of `results.json`? Every missed cell, from mclust's own end and by longer searches.

    python missed.py --reference DIR [--out missed.json] [--rscript Rscript]

Where EM from mclust's end goes on to a spike (next to singular, or on too few rows), the reference is no optimum that anybody would
want; where it stays, a longer search should find it, or the search lacks a start that leads there.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from run import mclust_cells, table

import jaxem


def missed(results: dict) -> dict[str, dict[tuple[str, int], dict[str, float]]]:
    """Data set -> cell -> seed -> gap."""
    out: dict = {}
    for name, by_seed in results.items():
        for seed, outcome in by_seed.items():
            for family, k, gap in outcome["missed"]:
                out.setdefault(name, {}).setdefault((family, k), {})[seed] = gap
    return out


def look(frame, cell: tuple[str, int], target: float, resp: np.ndarray) -> dict:
    """One cell: where mclust's end leads, and what a longer search finds."""
    family, k = cell
    there = jaxem.fit(frame, family, k, start=resp / resp.sum(1, keepdims=True))
    spread = np.diag(1 / frame.std(ddof=0).to_numpy())
    thinnest = min(np.linalg.eigvalsh(spread @ covariance @ spread)[0] for covariance in there.params.covariances)
    row = {
        "from its end": round(there.log_likelihood - target, 3),
        "spike": there.spurious,
        "smallest": float(there.sizes.min()),
    }
    row |= {"thinnest": float(f"{thinnest:.2g}")}
    longer = jaxem.select(frame, family, [k - 1, k, k + 1], num_restarts=100, num_finalists=25)[cell]
    every = jaxem.fit(frame, family, k, num_restarts=200, num_finalists=200)
    searches = {"five times the starts": longer, "200 starts, all to convergence": every}
    return row | {name: round(fit.log_likelihood - target, 3) for name, fit in searches.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--rscript", default="Rscript")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("missed.json"))
    arguments = parser.parse_args()
    results = json.loads(pathlib.Path(__file__).with_name("results.json").read_text())["results"]
    rows = []
    for name, cells in missed(results).items():
        frame, targets = table(arguments.reference, name), mclust_cells(arguments.reference, name)
        with tempfile.TemporaryDirectory() as folder:
            words = [f"{family}:{k}" for family, k in cells]
            script = pathlib.Path(__file__).with_name("missed.R")
            subprocess.run(
                [arguments.rscript, script, arguments.reference / "data" / f"{name}.csv", folder, *words], check=True
            )
            for cell, gaps in cells.items():
                resp = np.loadtxt(pathlib.Path(folder) / f"resp_{cell[0]}_{cell[1]}.csv", delimiter=",")
                rows.append(
                    {"data": name, "family": cell[0], "K": cell[1], "gaps": gaps, **look(frame, cell, targets[cell][0], resp)}
                )
                print(rows[-1], flush=True)
    arguments.out.write_text(json.dumps({"versions": {"jaxem": jaxem.__version__}, "cells": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
