"""Do models written against the protocol alone end where independent software ends, and how many E-steps does SQUAREM save in them?

    python run.py --reference DIR [--out results.json]

Every problem is run by plain EM and by SQUAREM, at the default tol (less than 1e-3 nats missing), from the start that the other
software had or, where it had many, from many. Told of each, for either method:

- `gap`: the best run's log-likelihood less the reference, in nats;
- `at the reference`: runs that end within 0.01 nats of the reference, of those with the reference's own start or of many;
- `steps`: E-steps of all runs together, and of these the runs that ended as converged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import platform
from typing import Any

import jax
import numpy as np
import problems

import jaxem
from jaxem import em, restarts
from jaxem.accelerate import Squarem


MOST = 20_000
THERE = 0.01  # nats
METHODS = {"EM": em.EM(), "SQUAREM": Squarem()}


def compare(problem: Any) -> dict[str, Any]:
    """Both methods from all starts."""
    out: dict[str, Any] = {"software": problem.software, "reference": problem.log_likelihood}
    for name, method in METHODS.items():
        runs = restarts.run(problem.model, problem.starts, problem.data, method=method, max_steps=MOST)
        ends = runs.log_likelihood
        statuses = [em.Status(int(status)).name for status in runs.status]
        out[name] = {
            "gap": float(restarts.best(runs).log_likelihood - problem.log_likelihood),
            "runs": len(ends),
            "at the reference": int((abs(ends - problem.log_likelihood) < THERE).sum()),
            "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
            "steps": int(runs.num_steps.sum()),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=pathlib.Path, required=True, help="the folder of reference numbers")
    parser.add_argument("--only", default="", help="part of a problem's name")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    results = {}
    for problem in itertools.chain.from_iterable(read(options.reference) for read in problems.ALL):
        if options.only not in problem.name:
            continue
        with jax.enable_x64(True):
            results[problem.name] = found = compare(problem)
        print(problem.name, *(f"{name}: {found[name]}" for name in METHODS), sep="\n  ", flush=True)
    about = {"jaxem": jaxem.__version__, "jax": jax.__version__, "numpy": np.__version__, "python": platform.python_version()}
    if not options.only:
        options.out.write_text(json.dumps({"versions": about, "problems": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
