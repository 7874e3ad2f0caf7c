"""Which criterion finds the true number of Gaussians? Simulated data sets over overlap, n, d, weights and K, all of them lanes.

    python experiments/selection_accuracy/run.py [--sets 200]      # writes results.json after every cell
    python experiments/selection_accuracy/run.py --figure          # draws figure.png from it

Every data set is fitted with K = 1 to 6 full covariances (VVV), six starts each; spikes are left out as in `jaxem.select`. Clusters
have random orientations and axes between 0.6 and 1.6; their means are random with the nearest pair `separation` apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import time

import numpy as np

import jaxem
from jaxem import criteria, init
from jaxem._precision import precision
from jaxem._status import Status
from jaxem.families import gaussian
from jaxem.models.mixture import Mixture
from jaxem.replicates import Replicates, Task
from jaxem.selection.calibrated import calibrate
from jaxem.selection.lrt import unit_scale
from jaxem.selection.stability import Score


HERE = pathlib.Path(__file__).parent
SIZES = range(1, 7)
NUM_STARTS = 6
GRID = {
    "separation": [2.5, 3.5, 5.0],
    "num_rows": [100, 400],
    "num_features": [2, 4],
    "weights": ["equal", "unequal"],
    "num_components": [1, 2, 4],
}


def simulate(rng, separation, num_rows, num_features, weights, num_components):
    """Rows (d, n) of one data set."""
    k, d = num_components, num_features
    means = rng.normal(size=(k, d))
    if k > 1:
        gaps = np.linalg.norm(means[:, None] - means[None], axis=2)[np.tril_indices(k, -1)]
        means *= separation / gaps.min()
    share = np.full(k, 1 / k) if weights == "equal" else 1.0 / np.arange(1, k + 1) / (1.0 / np.arange(1, k + 1)).sum()
    turns = np.linalg.qr(rng.normal(size=(k, d, d)))[0]
    factors = turns * np.exp(rng.uniform(np.log(0.6), np.log(1.6), size=(k, 1, d)))
    labels = rng.choice(k, num_rows, p=share)
    return (means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(num_rows, d)))).T


def choices(cell, sets):
    """What every criterion chooses for every data set of a cell: {criterion: [K, …]}."""
    ones = np.ones(cell["num_rows"])
    seed = [int.from_bytes(json.dumps(cell, sort_keys=True).encode(), "big") % 2**63]
    data = [unit_scale(simulate(np.random.default_rng([*seed, number]), **cell), ones) for number in range(sets)]
    family = gaussian("VVV")
    family = family.bind(data[0], ones, np.eye(cell["num_features"]), np.float64)  # unit columns: nearly the same for all
    replicates = Replicates(data.__getitem__, ones, [Mixture(family)], max(SIZES))
    tasks = []
    for number, rows in enumerate(data):
        draws = init.Starts(rows, ones, (number,))
        tasks += [
            Task(number, 0, k, [draws.draw("portfolio", k, start)[1] for start in range(NUM_STARTS if k > 1 else 1)])
            for k in SIZES
        ]
    outcomes = replicates.fit(tasks)
    usable = [(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True) if outcome.usable]
    numbers = np.array([task.dataset for task, _ in usable])
    joints = replicates.log_joint([outcome.params for _, outcome in usable], np.zeros(len(usable), int), numbers)
    tables = [{} for _ in range(sets)]
    for (task, outcome), joint in zip(usable, joints, strict=True):
        log_resp = joint - np.logaddexp.reduce(joint, axis=0)
        k, d = task.num_components, cell["num_features"]
        tables[task.dataset]["VVV", k] = Score(
            log_likelihood=outcome.log_likelihood,
            num_params=k - 1 + family.num_params(k, d),
            num_rows=float(cell["num_rows"]),
            num_components=k,
            log_assigned=float(log_resp.max(0).sum()),
            entropy=float(-(np.exp(log_resp) * log_resp).sum()),
            log_likelihood_of_one=tables[task.dataset]["VVV", 1].log_likelihood if k > 1 else outcome.log_likelihood,
            status=Status.CONVERGED,
        )
    return {name: [chosen(calibrate(table), name) for table in tables] for name in criteria.NAMES}


def chosen(table, name):
    values = {key[1]: getattr(score, name) for key, score in table.items()}
    values = {k: value for k, value in values.items() if not np.isnan(value)}
    return min(values, key=values.get) if values else None


def run(sets):
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {"cells": []}
    results["about"] = {"sets": sets, "sizes": list(SIZES), "starts": NUM_STARTS, "jaxem": jaxem.__version__, "grid": GRID}
    done = [cell["cell"] for cell in results["cells"]]
    for values in itertools.product(*GRID.values()):
        cell = dict(zip(GRID, values, strict=True))
        alone = cell["num_components"] == 1 and (cell["separation"] != GRID["separation"][0] or cell["weights"] != "equal")
        if cell in done or alone:  # one cluster has neither overlap nor weights
            continue
        begun = time.perf_counter()
        with precision(np.float64):
            found = choices(cell, sets)
        k = cell["num_components"]
        summary = {}
        for name, picks in found.items():
            known = [pick for pick in picks if pick is not None]
            summary[name] = {
                "right": sum(pick == k for pick in known) / sets,
                "too_few": sum(pick < k for pick in known) / sets,
                "too_many": sum(pick > k for pick in known) / sets,
            }
        results["cells"].append({"cell": cell, "seconds": round(time.perf_counter() - begun, 1), "criteria": summary})
        path.write_text(json.dumps(results, indent=1) + "\n")
        print(cell, {name: row["right"] for name, row in summary.items()}, f"{time.perf_counter() - begun:.0f} s", flush=True)


def figure():
    import matplotlib.pyplot as plt

    results = json.loads((HERE / "results.json").read_text())
    cells = results["cells"]
    columns = [(1, None), *((k, s) for k in GRID["num_components"][1:] for s in GRID["separation"])]
    fig, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained", sharex=True, sharey=True)
    for ax, (n, d) in zip(axes.flat, itertools.product(GRID["num_rows"], GRID["num_features"]), strict=True):
        shares = np.full((len(criteria.NAMES), len(columns)), np.nan)
        for j, (k, separation) in enumerate(columns):
            mine = [
                row["criteria"]
                for row in cells
                if (row["cell"]["num_rows"], row["cell"]["num_features"], row["cell"]["num_components"]) == (n, d, k)
                and separation in (None, row["cell"]["separation"])
            ]
            for i, name in enumerate(criteria.NAMES):
                shares[i, j] = np.mean([row[name]["right"] for row in mine]) if mine else np.nan
        ax.imshow(shares, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for (i, j), share in np.ndenumerate(shares):
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", fontsize=8, color="white" if share < 0.6 else "black")
        ax.set_title(f"n = {n}, d = {d}")
        ax.set_xticks(range(len(columns)), ["K = 1" if s is None else f"K = {k}\n{s:g} sd" for k, s in columns], fontsize=8)
        ax.set_yticks(range(len(criteria.NAMES)), criteria.NAMES)
    fig.suptitle("Share of data sets in which a criterion finds the true number of Gaussians")
    fig.savefig(HERE / "figure.png", dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--figure", action="store_true")
    asked = parser.parse_args()
    figure() if asked.figure else run(asked.sets)


if __name__ == "__main__":
    main()
