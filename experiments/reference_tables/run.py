"""With default settings, does `select` find at least the log-likelihood of independent software in every (structure, K) cell?

    python run.py --reference DIR [--seeds 0,1,2] [--only faithful,iris] [--out results.json]

References: mclust 6.0.0 tables (hierarchical start, so a landmark and no proof of optimality) for every structure that jaxem has; scikit-learn's
best of 20 to 50 starts on simulated data, up to the true K (above it the likelihood is unbounded and "best" means little).
A miss is a cell in which jaxem's log-likelihood is more than 0.05 nats below the reference.
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
    families = sorted({family for family, _ in cells})
    began = time.perf_counter()
    selection = jaxem.select(frame, families, range(1, 1 + max(k for _, k in cells)), seed=seed)
    seconds = time.perf_counter() - began
    rows = []
    for (family, k), (target, count) in cells.items():
        fit = selection.fits.get((family, k))
        found = fit.log_likelihood if fit else -math.inf
        rows.append({"family": family, "num_components": k, "reference": target, "gap": found - target, "spurious": bool(fit and fit.spurious)})
        assert fit is None or count is None or fit.num_params == count, (family, k, fit.num_params, count)
    return {"seconds": seconds, "best": [selection.best.family, selection.best.num_components], "cells": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    arguments = parser.parse_args()
    simulated = sorted(path.stem for path in (arguments.reference / "sims").glob("*.json"))
    wanted = arguments.only.split(",") if arguments.only else [*MCLUST, *simulated]
    results: dict = {}
    for name in wanted:
        frame = table(arguments.reference, name if name in MCLUST else f"sim_{name}")
        cells = mclust_cells(arguments.reference, name) if name in MCLUST else simulated_cells(arguments.reference, name, frame.shape[1])
        for seed in map(int, arguments.seeds.split(",")):
            outcome = results.setdefault(name, {})[seed] = compare(frame, cells, seed)
            missed = [(c["family"], c["num_components"], round(c["gap"], 3)) for c in outcome["cells"] if not c["gap"] >= -0.05]
            print(f"{name} seed {seed}: {outcome['seconds']:.1f} s, best {outcome['best']}, missed {missed}", flush=True)
    summary = {}
    for seed in map(int, arguments.seeds.split(",")):
        gaps = np.array([cell["gap"] for by_seed in results.values() for cell in by_seed[seed]["cells"]])
        summary[seed] = {"cells": len(gaps), "missed": int((~(gaps >= -0.05)).sum()), "better by 0.5": int((gaps > 0.5).sum())}
    print(summary)
    versions = {"jaxem": jaxem.__version__, "jax": jax.__version__, "numpy": np.__version__, "python": platform.python_version()}
    arguments.out.write_text(json.dumps({"summary": summary, "versions": versions, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
