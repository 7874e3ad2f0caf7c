"""Do the conjugate samplers draw from the posterior they claim to, with K known and unknown?

    python run.py [--datasets 400] [--seeds 1 2] [--out results.json]

Simulation-based calibration: the rank of every true quantity among 99 thinned draws must be uniform (χ² over 10 bins, p > 0.01 after
Bonferroni's correction over the quantities of a problem), and central 90 % intervals must cover 87 to 93 %. With 400 data sets the
coverage has a standard error of 1.5 %: one quantity in 25 falls outside by chance alone. So every problem is run with more than one
seed, and judged by all its data sets together too.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import time

import jax
import numpy as np

import jaxem
from jaxem.bayes import Calibration, GaussianPrior, KnownK, PoissonPrior, UnknownK, mixing, sbc


def natural(family: str, d: int) -> GaussianPrior:
    """A normal-inverse-Wishart prior with components that overlap now and then."""
    return GaussianPrior(
        np.zeros(d), np.float64(0.1), None, np.float64(d + 5.0), 2 * np.eye(d), None, None, np.float64(2.0), family
    )


def learned(family: str, d: int) -> GaussianPrior:
    """Means of fixed covariance, and variances whose scale is learned, as Richardson & Green have it."""
    precision, rate = 0.1 * np.eye(d), 2 * np.eye(d)
    return GaussianPrior(
        np.zeros(d), None, precision, np.float64(d + 5.0), None, np.float64(d + 5.0), rate, np.float64(1.0), family
    )


def problems() -> dict[str, KnownK | UnknownK]:
    one = mixing.Concentration(np.float64(1.0))
    static = mixing.FiniteMixing(mixing.log_prior_k("uniform", 5), one)
    dynamic = mixing.FiniteMixing(
        mixing.log_prior_k("bnb", 6), mixing.Concentration(np.float64(6.0), np.float64(3.0), "f"), dynamic=True
    )
    counts = PoissonPrior(np.array([2.0]), None, np.array([4.0]), np.array([16.0]), np.float64(1.0))
    return {
        "K = 2, V, natural": KnownK(natural("V", 1)),
        "K = 2, V, learned scale": KnownK(learned("V", 1)),
        "K = 3, VVV, learned scale, d = 2": KnownK(learned("VVV", 2), num_components=3),
        "K = 2, Poisson, learned rate": KnownK(counts),
        "K unknown, static, V, learned scale": UnknownK(learned("V", 1), static),
        "K unknown, static, EEI, natural, d = 2": UnknownK(natural("EEI", 2), static),
        "K unknown, dynamic, Poisson, learned rate": UnknownK(counts, dynamic),
    }


def row(calibration: Calibration) -> dict:
    """What is kept of one calibration."""
    table = calibration.table
    outside = table.index[~table["coverage_90"].between(0.87, 0.93)].tolist()
    quantities = {name: {key: round(value, 4) for key, value in each.items()} for name, each in table.to_dict("index").items()}
    return {"uniform": calibration.uniform, "outside_87_to_93": outside, "quantities": quantities}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    asked = parser.parse_args()
    packages = {"jaxem": jaxem.__version__, "jax": jax.__version__, "numpy": np.__version__}
    versions = packages | {"python": platform.python_version()}
    found = {}
    for name, problem in problems().items():
        begun = time.perf_counter()
        runs = {seed: sbc(problem, num_datasets=asked.datasets, seed=seed) for seed in asked.seeds}
        first, *_ = runs.values()
        together = Calibration(
            {q: np.concatenate([run.ranks[q] for run in runs.values()]) for q in first.ranks}, first.num_draws
        )
        length = {"num_warmup": problem.num_warmup, "thin": problem.thin, "seconds": round(time.perf_counter() - begun, 1)}
        found[name] = length | {"seeds": {seed: row(run) for seed, run in runs.items()}, "together": row(together)}
        outside = {seed: each["outside_87_to_93"] for seed, each in found[name]["seeds"].items()}
        print(f"{name}: uniform {together.uniform}, outside {outside}, {length['seconds']} s", flush=True)
        print(together.table.round(3).to_string(), flush=True)
        record = {"datasets": asked.datasets, "draws": 99, "seeds": asked.seeds, "versions": versions, "problems": found}
        asked.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
