"""How often 95 % intervals of each kind hold the truth: 1,000 simulated data sets, all of them lanes.

    python experiments/uncertainty/coverage.py [--sets 1000] [--replicates 199]

Two designs, two univariate normals of unequal spread each: well separated, and overlapping. Intervals are made as
`Fit.standard_errors` makes them; every data set's fit begins at the truth, so that no label needs to be guessed.
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import platform
import time

import jax
import numpy as np

import jaxem
from jaxem import information, resampling
from jaxem._precision import precision
from jaxem.entries import flatten, labels, normal_intervals
from jaxem.families import gaussian
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.padding import take
from jaxem.protocol import Data
from jaxem.replicates import Replicates, Task
from jaxem.standard_errors import align


NUM_ROWS = 300
DESIGNS = {
    "separated": {"weights": [0.6, 0.4], "means": [[0.0], [6.0]], "covariances": [[[1.0]], [[2.25]]]},
    "overlapping": {"weights": [0.6, 0.4], "means": [[0.0], [2.5]], "covariances": [[[1.0]], [[2.25]]]},
}
UNIT = np.zeros(1), np.eye(1)


def adopt(family, arrays):
    return MixtureParams(np.log(arrays["weights"]), family.adopt(arrays, *UNIT))


def publish(family, params):
    return {"weights": np.exp(params.log_weights), **family.publish(params.components, *UNIT)}


@functools.partial(jax.jit, static_argnames=("num_params",))
def all_curvatures(model, params, data, *, num_params):
    return jax.vmap(lambda point, own: information.curvature(model, point, own, num_params))(params, data)


def published(model, like, free):
    params = jax.device_get(information.params_at(model, like, free))
    return np.array([flatten(publish(model.family, take(params, place))) for place in range(len(free))])


def analytic(family, rows, fitted, level):
    """Intervals by the observed information and by the sandwich, shape (2, sets, 2, m)."""
    model = Mixture(family.with_residuals())
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *fitted)
    points = jax.device_get(all_curvatures(model, params, Data(rows, np.ones(rows.shape[::2])), num_params=5))
    out = np.full((2, len(rows), 2, len(flatten(publish(family, fitted[0])))), np.nan)
    names = labels(publish(family, fitted[0]), ("x",))
    for number, here in enumerate(fitted):
        point = take(points, number)
        if np.linalg.eigvalsh(point.information)[0] <= 0:
            continue

        slope = information.delta(point, functools.partial(published, model, here))
        inverse = np.linalg.inv(point.information)
        for kind, middle in enumerate((inverse, inverse @ point.scores @ inverse)):
            errors = np.sqrt(np.diag(slope.T @ middle @ slope))
            out[kind, number] = normal_intervals(names, flatten(publish(family, here)), errors, level)
    return out


def resampled(family, rows, fitted, kind, count, level):
    """Intervals from refits, shape (sets, 2, m)."""
    ones = np.ones(NUM_ROWS)
    names = labels(publish(family, fitted[0]), ("x",))
    estimates = np.array([flatten(publish(family, point)) for point in fitted])
    if kind == "jackknife":
        weight, count = resampling.jackknife(ones), NUM_ROWS
        own_weight, own_rows = (lambda number: weight(number % count)), (lambda number: rows[number // count])
    elif kind == "parametric-bootstrap":
        draws = [resampling.simulate(family, point, NUM_ROWS, (1, number)) for number, point in enumerate(fitted)]
        own_weight, own_rows = ones, lambda number: draws[number // count](number % count)
    else:
        draw = (resampling.bootstrap if kind == "bootstrap" else resampling.weighted_bootstrap)(ones, (2,))
        own_weight, own_rows = draw, lambda number: rows[number // count]
    replicates = Replicates(own_rows, own_weight, [Mixture(family)], 2)
    outcomes = replicates.fit([Task(number, 0, 2, [fitted[number // count]]) for number in range(len(rows) * count)])
    out = np.empty((len(rows), 2, len(names)))
    for number in range(len(rows)):
        wanted = responsibilities(family, fitted[number], rows[number])
        values = []
        for outcome in outcomes[number * count : (number + 1) * count]:
            if outcome.usable:
                order, _ = align(responsibilities(family, outcome.params, rows[number]), wanted, ones)
                arrays = publish(family, outcome.params)
                values.append(flatten({name: array[order] for name, array in arrays.items()}))
        if kind == "jackknife":
            errors = np.sqrt((len(values) - 1) ** 2 / len(values) * np.var(values, axis=0, ddof=1))
            out[number] = normal_intervals(names, estimates[number], errors, level)
        else:
            out[number] = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return out


def responsibilities(family, params, rows):
    whitener = params.components.whitener[:, 0, 0]
    joint = (
        params.log_weights[:, None]
        + np.log(whitener)[:, None]
        - 0.5 * (whitener[:, None] * (rows - params.components.mean)) ** 2
    )
    odds = np.exp(joint - joint.max(0))
    return odds / odds.sum(0)


def study(design, sets, count, level=0.95):
    truth = {name: np.array(array) for name, array in DESIGNS[design].items()}
    example = gaussian("V", univariate=True)
    simulated = np.random.default_rng(0).normal(size=(1, NUM_ROWS)) * 3
    family = example.bind(simulated, np.ones(NUM_ROWS), np.eye(1), np.float64)
    start = adopt(family, truth)
    draw = resampling.simulate(family, start, NUM_ROWS, (0,))
    rows = np.stack([draw(number) for number in range(sets)])
    begun = time.perf_counter()
    outcomes = Replicates(rows.__getitem__, np.ones(NUM_ROWS), [Mixture(family)], 2, tol=1e-8).fit(
        [Task(number, 0, 2, [start]) for number in range(sets)]
    )
    usable = np.array([outcome.usable for outcome in outcomes])
    rows, fitted = rows[usable], [outcome.params for outcome in outcomes if outcome.usable]
    values = flatten(truth)
    table, seconds = {}, {"fits": time.perf_counter() - begun}
    kinds = ["observed and sandwich", "bootstrap", "weighted-bootstrap", "parametric-bootstrap", "jackknife"]
    for kind in kinds:
        begun = time.perf_counter()
        found = (
            analytic(family, rows, fitted, level)
            if kind == kinds[0]
            else resampled(family, rows, fitted, kind, count, level)[None]
        )
        seconds[kind] = time.perf_counter() - begun
        for name, limits in zip(kind.split(" and "), found, strict=True):
            known = np.isfinite(limits).all((1, 2))
            inside = (limits[known, 0] <= values) & (values <= limits[known, 1])
            names = [f"{parameter} {component}" for parameter, component, _ in labels(truth, ("x",))]
            table[name] = {
                "coverage": dict(zip(names, inside.mean(0).round(4).tolist(), strict=True)),
                "data_sets": int(known.sum()),
            }
            print(design, name, table[name], f"{seconds[kind]:.1f} s", flush=True)
    return {"truth": DESIGNS[design], "failed": int((~usable).sum()), "kinds": table, "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=199)
    parser.add_argument("--design", choices=DESIGNS, action="append", help="only this one; the others' results are kept")
    asked = parser.parse_args()
    path = pathlib.Path(__file__).with_name("coverage.json")
    results = json.loads(path.read_text())["designs"] if path.exists() else {}
    with precision(np.float64):
        results |= {design: study(design, asked.sets, asked.replicates) for design in asked.design or DESIGNS}
    about = {"rows": NUM_ROWS, "sets": asked.sets, "replicates": asked.replicates, "level": 0.95}
    versions = {"jaxem": jaxem.__version__, "jax": jax.__version__, "machine": platform.machine()}
    path.write_text(json.dumps({"about": about | versions, "designs": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
