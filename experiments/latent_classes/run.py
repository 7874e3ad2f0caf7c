"""How long do latent classes take, and how high are their likelihoods, beside StepMix?

    python run.py --stepmix PYTHON [--out results.json]

K = 1..6 on three tables (the golden data of tests/reference: lsat7, titanic, housevotes with missing answers), 20 random starts for each
K. Each package in a process of its own, one after the other, the work done twice: the second time nothing is compiled. PYTHON is an
interpreter that has StepMix, which is run with one thread (with two it is no faster), to abs_tol 1e-6 and rel_tol 1e-9. jaxem keeps its
own rule (1e-3 nats still to come), without split and merge moves (equal work) and with them (the default).
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy as np


HERE = pathlib.Path(__file__).parent
TABLES = HERE.parents[1] / "tests" / "reference" / "stepmix_classes.json"
COMPONENTS, STARTS = range(1, 7), 20


def rows(table):
    """Every row of a table as often as it is there."""
    return np.repeat(np.array(table["patterns"], float), table["counts"], axis=0)


def by_jaxem(x, moves):
    import jaxem

    found = jaxem.select(x, "categorical", COMPONENTS, num_restarts=STARTS, moves=moves)
    return [found["categorical", k].log_likelihood for k in COMPONENTS]


def by_stepmix(x):
    from stepmix.stepmix import StepMix

    kind = "categorical_nan" if np.isnan(x).any() else "categorical"
    how = {"measurement": kind, "n_init": STARTS, "abs_tol": 1e-6, "rel_tol": 1e-9, "max_iter": 2000, "random_state": 0}
    how |= {"verbose": 0, "progress_bar": 0}
    return [StepMix(n_components=k, **how).fit(x).score(x) * len(x) for k in COMPONENTS]


def measure(who):
    """Seconds and log-likelihoods of one package, and its versions."""
    work = {"stepmix": by_stepmix, "jaxem": lambda x: by_jaxem(x, False), "jaxem, moves": lambda x: by_jaxem(x, True)}[who]
    out = {}
    for name, table in json.loads(TABLES.read_text()).items():
        x, seconds = rows(table), []
        for _ in range(2):
            begun = time.perf_counter()
            found = work(x)
            seconds.append(round(time.perf_counter() - begun, 3))
        out[name] = {"first": seconds[0], "again": seconds[1], "log_likelihood": [round(value, 4) for value in found]}
    modules = [module for module in ("jax", "jaxem", "stepmix") if module in sys.modules]
    from importlib.metadata import version

    return {"tables": out, "versions": {module: version(module) for module in modules}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stepmix", help="an interpreter that has StepMix")
    parser.add_argument("--who", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results.json")
    asked = parser.parse_args()
    if asked.who:
        print(json.dumps(measure(asked.who)))
        return
    pythons = {"jaxem": sys.executable, "jaxem, moves": sys.executable} | ({"stepmix": asked.stepmix} if asked.stepmix else {})
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    results = {"machine": {"processor": platform.machine(), "cores": os.cpu_count()}}
    for who, python in pythons.items():
        environment = os.environ | (one if who == "stepmix" else {})
        told = subprocess.run([python, __file__, "--who", who], env=environment, capture_output=True, text=True, check=True)
        results[who] = json.loads(told.stdout.splitlines()[-1])
        print(who, {name: (own["first"], own["again"]) for name, own in results[who]["tables"].items()}, flush=True)
    asked.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
