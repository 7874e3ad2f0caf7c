"""The level of the bootstrap likelihood-ratio test: how often it rejects a null that is true.

    python experiments/uncertainty/level.py [--sets 500] [--replicates 99]

Each data set is tested by `jaxem.selection.bootstrap_lrt` as a user would: its own search, its own samples.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time

import numpy as np

import jaxem
from jaxem.selection import bootstrap_lrt


NUM_ROWS = 100
DESIGNS = {
    "one normal, 1 against 2": (1, [1.0], [0.0]),
    "two normals 4 sd apart, 2 against 3": (2, [0.6, 0.4], [0.0, 4.0]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--replicates", type=int, default=99)
    asked = parser.parse_args()
    path = pathlib.Path(__file__).with_name("level.json")
    results = {"about": vars(asked) | {"rows": NUM_ROWS, "family": "E", "jaxem": jaxem.__version__}, "designs": {}}
    for name, (k, weights, means) in DESIGNS.items():
        begun, values, failed = time.perf_counter(), [], 0
        for number in range(asked.sets):
            rng = np.random.default_rng([7, number])
            x = rng.normal(np.array(means)[rng.choice(len(means), NUM_ROWS, p=weights)])
            test = bootstrap_lrt(x, "E", k, asked.replicates, seed=number, num_restarts=4)
            values.append(test.p_value)
            failed += test.num_failed
        rejected = {level: float(np.mean(np.array(values) <= float(level))) for level in ("0.01", "0.05", "0.10")}
        seconds = time.perf_counter() - begun
        results["designs"][name] = {"rejected": rejected, "failed_replicates": failed, "seconds": round(seconds, 1)}
        print(name, results["designs"][name], flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
