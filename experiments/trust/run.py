"""How often is a result of each trust level later beaten by a much longer search?

    python run.py --reference DIR [--seeds 0,1,2] [--out results.json]

For every data set, structure and K = 2..9: `select` with default settings, once a seed; the best known log-likelihood of a cell is
the largest of all these and of a long search (100 restarts, 20 finalists). A result is *beaten* when the best known is more than
0.05 nats higher. Spurious fits (next to singular) are left out on both sides. The best known is itself not always the optimum: the
rates are lower bounds.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import platform

import jax
import pandas as pd

import jaxem


DATA = (
    "acidity",
    "diabetes",
    "faithful",
    "galaxies_fixed",
    "iris",
    "sim_separated_k5",
    "sim_tiny_clusters_k4",
    "sim_overlapping_k3",
    "sim_outliers_k2",
    "sim_near_collinear_k2",
    "sim_unequal_weights_k3",
    "wreath",
    "wine",
)
COMPONENTS = range(2, 10)


def outcomes(frame: pd.DataFrame, seeds: list[int]) -> list[dict]:
    """One record for each cell and seed."""
    runs = [jaxem.select(frame, num_components=COMPONENTS, seed=seed) for seed in seeds]
    long = jaxem.select(frame, num_components=COMPONENTS, seed=1000, num_restarts=100, num_finalists=20)
    records = []
    for cell in runs[0].fits:
        fits = [selection.fits.get(cell) for selection in [*runs, long]]
        known = max((fit.log_likelihood for fit in fits if fit and not fit.spurious), default=None)
        for seed, fit in zip(seeds, fits, strict=False):
            if known is None or fit is None or fit.spurious:
                continue
            facts = {name: getattr(fit, name) for name in ("trust", "replicated", "num_finalists", "improved", "stable")}
            records.append(
                {"family": cell[0], "num_components": cell[1], "seed": seed, **facts, "short": known - fit.log_likelihood}
            )
    return records


def rates(records: list[dict], by: tuple[str, ...]) -> list[dict]:
    """How many there are and how many were beaten, by some of the facts."""
    groups = collections.defaultdict(list)
    for record in records:
        groups[tuple(record[name] for name in by)].append(record["short"] > 0.05)
    return [
        {**dict(zip(by, key, strict=True)), "cells": len(hits), "beaten": sum(hits)}
        for key, hits in sorted(groups.items(), key=str)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    records = []
    for name in DATA:
        frame = pd.read_csv(arguments.reference / "data" / f"{name}.csv").drop(columns="truth", errors="ignore")
        found = outcomes(frame, seeds)
        records += [{"data": name, **record} for record in found]
        print(name, rates(found, ("trust",)), flush=True)
        write(arguments.out, records)


def write(path: pathlib.Path, records: list[dict]) -> None:
    """The rates so far."""
    ways = {"by trust": ("trust",), "by facts": ("stable", "improved", "replicated"), "by data": ("data", "trust")}
    summary = {way: rates(records, names) for way, names in ways.items()}
    beaten_although_high = [record for record in records if record["trust"] == "high" and record["short"] > 0.05]
    versions = {"jaxem": jaxem.__version__, "jax": jax.__version__, "python": platform.python_version()}
    report = {"summary": summary, "beaten although high": beaten_although_high, "versions": versions}
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
