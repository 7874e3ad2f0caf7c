"""Does every hierarchical model find the truth of simulated data, at its default length, without a divergence?

    python run.py [--datasets 50] [--only growth_mixture,...] [--out results.json]

Over many data sets for the two cheapest models: the true value must lie inside the 95 % interval at the nominal rate. One well-sized
data set for the others. Demanded of each run: 0 divergences, R-hat below 1.01, effective sample size (bulk and tail) above 400.
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
from jaxem.bayes import hierarchical


def regression(seed: int) -> tuple:
    rng = np.random.default_rng(seed)
    who, x, first = np.repeat(np.arange(60), 8), rng.normal(5, 2, size=480), rng.random(60) < 0.4
    lines = np.where(first[:, None], [10.0, -2.0], [4.0, 1.5])
    y = lines[who, 0] + lines[who, 1] * x + 1.5 * rng.normal(size=60)[who] + 2 * rng.normal(size=480)
    frame = pd.DataFrame({"y": y, "x": x, "who": who})
    truth = {"weights": [0.4, 0.6], "coefficients": [[10, -2], [4, 1.5]], "residual_sd": [2, 2], "random_sd": [1.5, 1.5]}
    return hierarchical.regression_mixture(frame, "y", "who", seed=seed), truth


def richardson_green(seed: int) -> tuple:
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, 300, p=[0.3, 0.5, 0.2])
    x = np.array([-20.0, 0.0, 25.0])[labels] + np.array([3.0, 4.0, 5.0])[labels] * rng.normal(size=300)
    truth = {"weights": [0.3, 0.5, 0.2], "means": [[-20], [0], [25]], "covariances": [[[9]], [[16]], [[25]]]}
    return hierarchical.richardson_green(x, 3, seed=seed), truth


def _groups(seed: int, spread: float) -> tuple:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(20), 50)
    upper = 1 / (1 + np.exp(-(0.3 + 1.2 * rng.normal(size=20))))
    share = np.column_stack([1 - upper, upper])
    means = np.array([[0.0, 0.0], [4.0, 3.0]]) + spread * rng.normal(size=(20, 2, 2))
    labels = (rng.random(1000) < share[group, 1]).astype(int)
    x = means[group, labels] + rng.normal(size=(1000, 2)) @ np.linalg.cholesky([[1.0, 0.3], [0.3, 0.8]]).T
    covariance = [[1.0, 0.3], [0.3, 0.8]]
    truth = {"group_weights": share, "means": [[0, 0], [4, 3]], "covariances": [covariance, covariance]}
    return pd.DataFrame(x, columns=["a", "b"]).assign(group=group), truth, means


def grouped_weights(seed: int) -> tuple:
    frame, truth, _ = _groups(seed, 0.0)
    return hierarchical.grouped_mixture(frame, "group", 2, seed=seed), truth


def grouped_means(seed: int) -> tuple:
    frame, truth, means = _groups(seed, 0.4)
    truth |= {"group_means": means, "mean_sd": np.full((2, 2), 0.4)}
    return hierarchical.grouped_mixture(frame, "group", 2, vary="means", seed=seed), truth


def growth_mixture(seed: int) -> tuple:
    rng = np.random.default_rng(seed)
    who, t, late = np.repeat(np.arange(150), 6), np.tile(np.arange(6.0), 150), rng.random(150) < 0.35
    curves = np.where(late[:, None], [12.0, -0.5], [2.0, 1.5])
    between = np.array([[1.0, 0.1], [0.1, 0.09]])
    curves = curves + rng.multivariate_normal([0, 0], between, 150)
    frame = pd.DataFrame({"y": curves[who, 0] + curves[who, 1] * t + 0.5 * rng.normal(size=900), "t": t, "who": who})
    truth = {
        "weights": [0.35, 0.65],
        "coefficients": [[12, -0.5], [2, 1.5]],
        "residual_sd": 0.5,
        "random_covariance": [between] * 2,
    }
    return hierarchical.growth_mixture(frame, "t", "who", seed=seed), truth


def hidden_markov(seed: int) -> tuple:
    rng = np.random.default_rng(seed)
    moves, states = np.array([[0.95, 0.03, 0.02], [0.05, 0.9, 0.05], [0.02, 0.08, 0.9]]), [0]
    for _ in range(999):
        states.append(rng.choice(3, p=moves[states[-1]]))
    x = np.array([-3.0, 0.0, 4.0])[states] + np.array([1.0, 0.8, 1.2])[states] * rng.normal(size=1000)
    truth = {"transitions": moves, "means": [[-3], [0], [4]], "covariances": [[[1.0]], [[0.64]], [[1.44]]]}
    return hierarchical.hidden_markov(x, 3, seed=seed), truth


def sparse_mixture(seed: int) -> tuple:
    sample = jaxem.datasets.gaussian_mixture(300, 4, 2, separation=5.0, seed=3 + seed)
    return hierarchical.sparse_mixture(sample.x, seed=seed), sample


def dirichlet_process(seed: int) -> tuple:
    sample = jaxem.datasets.gaussian_mixture(300, 4, 2, separation=5.0, seed=3 + seed)
    return hierarchical.dirichlet_process(sample.x, seed=seed), sample


MANY = {"regression_mixture": regression, "richardson_green": richardson_green}
ONE = {f.__name__: f for f in (grouped_weights, grouped_means, growth_mixture, hidden_markov)}
CLUSTERS = {f.__name__: f for f in (sparse_mixture, dirichlet_process)}


def inside(posterior: hierarchical.HierarchicalPosterior, truth: dict) -> list[bool]:
    """Whether each true number lies in its 95 % interval; components in the order that fits best."""
    import itertools

    k = len(truth["weights"] if "weights" in truth else truth["means"])
    fits = []
    for order in map(list, itertools.permutations(range(k))):
        out = []
        for name, value in truth.items():
            value, draws = np.asarray(value, float), posterior.samples[name]
            if name in ("group_weights", "group_means"):
                value = value[:, order]
            elif name == "transitions":
                value = value[np.ix_(order, order)]
            elif value.ndim:
                value = value[order]
            low, high = np.quantile(draws, [0.025, 0.975], axis=(0, 1))
            out += ((low <= value) & (value <= high)).ravel().tolist()
        fits.append(out)
    return max(fits, key=sum)


def health(posterior: hierarchical.HierarchicalPosterior) -> dict:
    return {
        "divergences": posterior.num_divergences,
        "rhat": round(posterior.rhat, 4),
        "ess": round(posterior.ess),
        "seconds": round(posterior.seconds, 1),
    }


def many(make, count: int) -> dict:
    runs, hits = [], []
    for seed in range(count):
        posterior, truth = make(seed)
        hits.append(inside(posterior, truth))
        runs.append(health(posterior))
    rate = np.mean(hits)
    each = np.mean(hits, axis=1)
    error = each.std(ddof=1) / math.sqrt(count)  # numbers of one data set are not independent: data sets are
    return {
        "datasets": count,
        "coverage_95": round(float(rate), 4),
        "standard_error": round(float(error), 4),
        "nominal": bool(abs(rate - 0.95) < 3 * error),
        "divergences": sum(r["divergences"] for r in runs),
        "worst_rhat": max(r["rhat"] for r in runs),
        "least_ess": min(r["ess"] for r in runs),
        "median_seconds": float(np.median([r["seconds"] for r in runs])),
        "clean_runs": sum(r["divergences"] == 0 and r["rhat"] < 1.01 and r["ess"] > 400 for r in runs),
    }


def clusters(make) -> dict:
    posterior, sample = make(0)
    table = posterior.table
    pairs = (posterior.partition()[:, None] == posterior.partition()) == (sample.labels[:, None] == sample.labels)
    return {
        "posterior_filled": posterior.posterior_filled.round(4).tolist(),
        "true_clusters": int(sample.labels.max()) + 1,
        "pairs_right": round(float(pairs.mean()), 4),
        "rhat": round(float(table["r_hat"].max()), 4),
        "ess": round(float(table[["ess_bulk", "ess_tail"]].min().min())),
        "seconds": round(posterior.seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=50)
    parser.add_argument("--only", default=",".join([*ONE, *CLUSTERS, *MANY]))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    args = parser.parse_args()
    record = json.loads(args.out.read_text()) if args.out.exists() else {"models": {}}
    import arviz

    versions = {
        "jaxem": jaxem.__version__,
        "jax": jax.__version__,
        "arviz": arviz.__version__,
        "python": platform.python_version(),
    }
    record["versions"] = versions
    for name in args.only.split(","):
        begun = time.perf_counter()
        if name in MANY:
            out = many(MANY[name], args.datasets)
        elif name in CLUSTERS:
            out = clusters(CLUSTERS[name])
        else:
            posterior, truth = ONE[name](0)
            hits = inside(posterior, truth)
            out = {"inside_95": sum(hits), "numbers": len(hits)} | health(posterior)
        record["models"][name] = out
        print(f"{name} ({time.perf_counter() - begun:.0f} s): {json.dumps(out)}", flush=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
