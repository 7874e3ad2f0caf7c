"""With default settings, does `select` find at least the log-likelihood of independent software in every (structure, K) cell?

    python run.py --reference DIR [--seeds 0,1,2] [--only faithful,iris] [--out results.json]

Results are written after every data set and seed, and what the file holds already is not run again: remove it to begin anew.

References: mclust 6.0.0 tables (hierarchical start, so a landmark and no proof of optimality) for every structure that jaxem has;
scikit-learn's best of 20 to 50 starts on simulated data, up to the true K (above it the likelihood is unbounded and "best" means
little). The set with a constant column is left out: the reference keeps that column, regularised, and jaxem does not, so the
log-likelihoods are of different data. A miss is a cell in which jaxem's log-likelihood is more than 0.05 nats below the reference.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import platform
import time

import jax
import numpy as np
import pandas as pd

import jaxem
from jaxem.families import names


MCLUST = ("acidity", "diabetes", "faithful", "galaxies", "galaxies_fixed", "iris", "wine", "wreath")


def table(reference: pathlib.Path, name: str) -> pd.DataFrame:
    """The columns of a reference file that are features."""
    frame = pd.read_csv(reference / "data" / f"{name}.csv")
    return frame.drop(columns=[column for column in ("truth",) if column in frame])


def mclust_cells(reference: pathlib.Path, name: str) -> dict[tuple[str, int], tuple[float, int]]:
    """(structure, K) -> (log-likelihood, parameters), where mclust has a value and jaxem the structure."""
    record = json.loads((reference / "mclust" / f"{name}.json").read_text())
    bic = record["bic_table"]
    cells = {}
    for g, values, counts in zip(bic["G"], bic["bic"], bic["npar"], strict=True):
        for model, value, count in zip(bic["models"], values, counts, strict=True):
            if value is not None and model in names():
                cells[model, g] = ((value + count * math.log(record["n"])) / 2, count)
    return cells


def simulated_cells(reference: pathlib.Path, name: str, num_columns: int) -> dict[tuple[str, int], tuple[float, None]]:
    """The same from scikit-learn's fits with full covariances, up to the true K; regularised fits are landmarks as well."""
    record = json.loads((reference / "sims" / f"{name}.json").read_text())
    family = "V" if num_columns == 1 else "VVV"
    return {
        (family, int(k)): (fit["loglik"], None)
        for k, fit in record["by_K"].items()
        if fit.get("loglik") is not None and int(k) <= record["K_true"]
    }


def compare(frame: pd.DataFrame, cells: dict, seed: int) -> dict:
    """What `select` finds with default settings, cell by cell against the reference."""
    families = sorted({family for family, _ in cells})
    began = time.perf_counter()
    selection = jaxem.select(frame, families, range(1, 1 + max(k for _, k in cells)), seed=seed)
    seconds = round(time.perf_counter() - began, 2)
    gaps = {}
    for cell, (target, count) in cells.items():
        fit = selection.fits.get(cell)
        assert fit is None or count is None or fit.num_params == count, (cell, fit.num_params, count)
        gaps[cell] = fit.log_likelihood - target if fit else -math.inf
    return {
        "best": [selection.best.family, selection.best.num_components],
        "seconds": seconds,
        "cells": len(gaps),
        "missed": [[*cell, round(gap, 3)] for cell, gap in gaps.items() if not gap >= -0.05],
        "better by 0.5": sum(gap > 0.5 for gap in gaps.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    arguments = parser.parse_args()
    simulated = sorted(path.stem for path in (arguments.reference / "sims").glob("*.json") if path.stem != "constant_column_k2")
    wanted = arguments.only.split(",") if arguments.only else [*MCLUST, *simulated]
    results: dict = json.loads(arguments.out.read_text())["results"] if arguments.out.exists() else {}
    for seed in arguments.seeds.split(","):
        for name in wanted:
            if seed in results.get(name, {}):
                continue
            frame = table(arguments.reference, name if name in MCLUST else f"sim_{name}")
            cells = (
                mclust_cells(arguments.reference, name)
                if name in MCLUST
                else simulated_cells(arguments.reference, name, frame.shape[1])
            )
            outcome = results.setdefault(name, {})[seed] = compare(frame, cells, int(seed))
            print(f"{name} seed {seed}: {outcome}", flush=True)
            write(arguments.out, results)


def write(path: pathlib.Path, results: dict) -> None:
    """The results so far, with sums over the data sets for each seed."""
    summary: dict = {}
    for by_seed in results.values():
        for seed, outcome in by_seed.items():
            sums = summary.setdefault(seed, {"data sets": 0, "cells": 0, "missed": 0, "better by 0.5": 0})
            for what in sums:
                value = outcome.get(what, 1)
                sums[what] += len(value) if isinstance(value, list) else value
    versions = {
        "jaxem": jaxem.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({"summary": summary, "versions": versions, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
