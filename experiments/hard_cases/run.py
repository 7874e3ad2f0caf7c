"""On data made to hurt, does `select` reach the reference, find the true K or say why not, and does float32 agree with float64?

    python run.py --reference DIR [--only outliers_k2,faithful] [--out results.json]

Simulated sets: full covariances, K as in the reference (scikit-learn's best of 20 to 50 starts), default settings otherwise; Old Faithful
and iris: all structures, K = 1..9. Everything is searched twice, in float64 and in float32. A cell of float32 agrees if it is within
1e-3 nats a row of float64's; one without a fit, or whose status is a failure, has said that float64 is needed. Two searches may end in
different optima: there float64 goes on from float32's end, and says by how much that end was off. The set with a constant column is
compared with itself only: the reference keeps that column.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import time

import jax
import numpy as np
import pandas as pd

import jaxem


WHOLE = ("faithful", "iris")
PER_ROW = 1e-3
BELOW = 0.05


def rows(reference: pathlib.Path, name: str) -> pd.DataFrame:
    """The columns that are features."""
    frame = pd.read_csv(reference / "data" / f"{name}.csv")
    return frame.drop(columns="truth", errors="ignore")


def search(frame: pd.DataFrame, families: list[str] | str, components: list[int], dtype: str) -> tuple[jaxem.Selection, float]:
    """A selection with default settings, and its seconds."""
    began = time.perf_counter()
    return jaxem.select(frame, families, components, dtype=dtype), round(time.perf_counter() - began, 1)


def chosen(selection: jaxem.Selection) -> list | None:
    """Family and K of the choice."""
    return [selection.best.family, selection.best.num_components] if selection.ranking() else None


def narrow(frame: pd.DataFrame, wide: jaxem.Selection, other: jaxem.Selection) -> dict:
    """How float32's cells compare with float64's."""
    n, agree, said, apart, gaps = wide.num_rows, 0, [], [], []
    for cell, fit in wide.fits.items():
        if fit.status.failed:
            continue
        mine = other.fits.get(cell)
        if mine is None or mine.status.failed:
            said.append([*cell, "no fit" if mine is None else mine.status.name.lower()])
            continue
        gap = mine.log_likelihood - fit.log_likelihood
        if abs(gap) < PER_ROW * n:
            agree, gaps = agree + 1, [*gaps, abs(gap) / n]
        else:
            further = jaxem.fit(frame, *cell, start=mine.params)
            off = float(f"{(further.log_likelihood - mine.log_likelihood) / n:.1g}")
            apart.append({"cell": cell, "gap": round(gap, 3), "off by, nats a row": off, "trust": [fit.trust, mine.trust]})
    return {
        "cells": len(wide.fits),
        "agree": agree,
        "worst of these, nats a row": max(gaps, default=None),
        "said": said,
        "apart": apart,
    }


def compare(reference: pathlib.Path, name: str) -> dict:
    """One data set in both widths."""
    if name in WHOLE:
        frame, families, components, targets = rows(reference, name), "gaussian", list(range(1, 10)), {}
        truth: dict = {}
    else:
        record = json.loads((reference / "sims" / f"{name}.json").read_text())
        frame = rows(reference, f"sim_{name}")
        families, components = ["V" if frame.shape[1] == 1 else "VVV"], [int(k) for k in record["by_K"]]
        truth = {"K": record["K_true"], "K by BIC of the reference": record["best_K_by_bic"]}
        targets = {int(k): fit["loglik"] for k, fit in record["by_K"].items() if int(k) <= record["K_true"]}
        targets = {} if name.startswith("constant") else targets
    (wide, seconds), (other, fewer) = (search(frame, families, components, dtype) for dtype in ("float64", "float32"))
    gaps = {k: wide[families[0], k].log_likelihood - target for k, target in targets.items()}
    return truth | {
        "chosen": chosen(wide),
        "below the reference": {k: round(gap, 3) for k, gap in gaps.items() if gap < -BELOW},
        "warnings": list(wide.warnings),
        "seconds": seconds,
        "float32": {"chosen": chosen(other), "seconds": fewer, **narrow(frame, wide, other), "warnings": list(other.warnings)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    arguments = parser.parse_args()
    simulated = sorted(path.stem for path in (arguments.reference / "sims").glob("*.json"))
    results = json.loads(arguments.out.read_text())["results"] if arguments.out.exists() else {}
    versions = {
        "jaxem": jaxem.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    for name in arguments.only.split(",") if arguments.only else [*WHOLE, *simulated]:
        results[name] = compare(arguments.reference, name)
        print(name, json.dumps(results[name]), flush=True)
        arguments.out.write_text(json.dumps({"versions": versions, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
