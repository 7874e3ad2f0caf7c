"""Do analytic standard errors agree with the bootstrap on a large sample, to 5 %?

    python experiments/uncertainty/agreement.py [--rows 20000] [--replicates 4000]

Two univariate normals well apart. 4,000 replicates know a standard error to 1.1 % (1/√(2B)), so that 5 % lies beyond Monte Carlo error.
The sample itself moves the bootstrap away from the observed information (its fourth moments are not those of a normal) by 1 to 2 % with
20,000 rows; the sandwich sees these moments too.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--replicates", type=int, default=4000)
    asked = parser.parse_args()
    rng = np.random.default_rng(8)
    x = np.where(rng.random(asked.rows) < 0.4, rng.normal(0, 1, asked.rows), rng.normal(6, 1.5, asked.rows))
    fit = jaxem.fit(x, "V", 2)
    analytic = {kind: fit.standard_errors(x, kind).table for kind in ("observed", "sandwich")}
    names = [f"{row.parameter} {row.component}" for row in analytic["observed"].itertuples()]
    results = {"about": vars(asked) | {"jaxem": jaxem.__version__, "jax": jax.__version__, "machine": platform.machine()}}
    results["standard_errors"] = {
        kind: dict(zip(names, table["standard_error"], strict=True)) for kind, table in analytic.items()
    }
    results["ratio_to"] = {}
    for kind in ("bootstrap", "weighted-bootstrap", "parametric-bootstrap"):
        begun = time.perf_counter()
        errors = fit.standard_errors(x, kind, num_replicates=asked.replicates)
        found = errors.table["standard_error"]
        ratios = {
            other: dict(zip(names, (found / table["standard_error"]).round(4), strict=True))
            for other, table in analytic.items()
        }
        furthest = {other: round(max(abs(ratio - 1) for ratio in each.values()), 4) for other, each in ratios.items()}
        told = {"furthest_from_1": furthest, "failed": errors.num_failed, "unclear": errors.num_unclear}
        results["ratio_to"][kind] = ratios | told | {"seconds": round(time.perf_counter() - begun, 1)}
        print(kind, told, results["ratio_to"][kind]["seconds"], "s", flush=True)
    pathlib.Path(__file__).with_name("agreement.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
