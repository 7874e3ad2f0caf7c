"""Does the telescoping sampler give the published posterior of K, and how long does it take to be sure?

    python run.py [--seeds 0,1] [--out results.json]

Galaxy velocities (82), K uniform on 1..30, Richardson & Green's prior: p(K = 3..8) is published as .061 .128 .182 .199 .160 .109
(Richardson & Green 1997, table 1). Demanded: within 0.04 for every K, effective sample size of K above 400, R-hat below 1.02.
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


PUBLISHED = dict(zip(range(3, 9), (0.061, 0.128, 0.182, 0.199, 0.160, 0.109), strict=True))


def run(seed: int) -> dict:
    begun = time.perf_counter()
    by_k = jaxem.bayes.compare_k(jaxem.datasets.load("galaxies"), seed=seed)
    gaps = {k: float(by_k.posterior_k[k - 1] - wanted) for k, wanted in PUBLISHED.items()}
    return {
        "seed": seed,
        "posterior_k": by_k.posterior_k.round(4).tolist(),
        "posterior_filled": by_k.posterior_filled.round(4).tolist(),
        "largest_gap": round(max(map(abs, gaps.values())), 4),
        "ess_k": round(by_k.ess),
        "rhat_k": round(by_k.rhat, 4),
        "sweeps": int(by_k.posterior.num_components.size),
        "seconds_sampling": round(by_k.posterior.seconds, 1),
        "seconds_everything": round(time.perf_counter() - begun, 1),
        "met": bool(max(map(abs, gaps.values())) < 0.04 and by_k.ess > 400 and by_k.rhat < 1.02),
        "warnings": list(by_k.warnings),
        "table": json.loads(by_k.table.round(4).to_json(orient="records")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    args = parser.parse_args()
    runs = []
    for seed in map(int, args.seeds.split(",")):
        runs.append(run(seed))
        shown = {name: value for name, value in runs[-1].items() if name not in ("table", "posterior_filled")}
        print(json.dumps(shown), flush=True)
    versions = {
        "jaxem": jaxem.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    record = {"published": PUBLISHED, "versions": versions, "cores": 1, "runs": runs}
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
