"""Is SQUAREM as good as plain EM from the same start, and how many E-steps does it save?

    python run.py [--seeds 20] [--out results.json]

Every start of the portfolio is run twice from the same responsibilities, by plain EM and by SQUAREM, at the default tol (1e-3 nats);
plain EM may take 20,000 steps. Told of every data set:

- `lower`, `higher`: runs of SQUAREM that end more than 0.05 nats below or above plain EM's from the same start (another optimum);
- `cells lower`: (structure, K) whose best of all runs is more than 0.05 nats lower;
- `steps`: E-steps until less than 1e-3 nats are missing from where the run ends, over the pairs of runs that end together: all
  of them added up, plain EM's over SQUAREM's, and the median of the pairs' ratios.

Spikes (a component next to singular) are left out of the comparison of ends: their likelihood has no maximum.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
from typing import Any

import jax
import numpy as np

import jaxem
from jaxem import families, init
from jaxem._precision import precision
from jaxem.accelerate import Squarem
from jaxem.em import EM, advance
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.protocol import Data


SAME = 0.05  # nats: ends closer than this are one optimum
NEAR = 1e-3  # nats from the end at which a run has arrived
MOST = {"em": 20_000, "squarem": 4_000}
RECORDED = 4_000


def data_sets() -> dict[str, tuple[np.ndarray, list[str], range]]:
    """Rows (n, d), structures, and numbers of components."""
    overlapping = jaxem.datasets.gaussian_mixture(1000, 3, 3, separation=1.0, seed=3).x
    separated = jaxem.datasets.gaussian_mixture(1000, 4, 3, separation=4.0, seed=4).x
    full = ["EII", "VII", "EEI", "VVI", "EEE", "VVV"]
    return {
        "faithful": (jaxem.datasets.load("faithful").to_numpy(), full, range(2, 6)),
        "iris": (jaxem.datasets.load("iris").select_dtypes("number").to_numpy(), full, range(2, 5)),
        "galaxies": (jaxem.datasets.load("galaxies").select_dtypes("number").to_numpy(), ["E", "V"], range(2, 7)),
        "overlapping": (overlapping, full, range(2, 5)),
        "separated": (separated, full, range(2, 5)),
    }


def paths(method: str, models: Any, params: Any, data: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Ends (l,), best objectives after every step (l, s), and the last states of all lanes, side by side."""
    machine = {"em": EM(), "squarem": Squarem()}[method]

    @jax.jit
    def run(models, params):
        states = jax.vmap(lambda model, params: machine.init(model, params, data))(models, params)
        step = jax.vmap(lambda model, state: machine.step(model, state, data, 1e-3))
        most = np.int32(MOST[method])
        return advance(lambda states: step(models, states), states, max_steps=most, num_ticks=most, record=RECORDED)

    states, trace = jax.device_get(run(models, params))
    return states.objective, trace.T, states


def arrivals(trace: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Steps until less than NEAR is missing from each end, shape (l,); RECORDED where it took longer."""
    there = trace >= ends[:, None] - NEAR
    return np.where(there.any(1), there.argmax(1) + 1, RECORDED)


def compare(x: np.ndarray, codes: list[str], components: range, seeds: int) -> dict[str, Any]:
    """Both methods from all starts of one data set."""
    rows = ((x - x.mean(0)) / x.std(0)).T
    weight, scale = np.ones(rows.shape[1]), np.diag(x.std(0))
    width = max(components)
    with precision(np.float64):
        bound = [family.bind(rows, weight, scale, np.float64) for family in families.resolve(codes, len(rows))]
        lanes = [(family, k, restart) for family in bound for k in components for restart in range(seeds)]
        draws = init.Starts(rows, weight, (0,))
        resp = np.zeros((len(lanes), width, rows.shape[1]))
        for lane, (_, k, restart) in enumerate(lanes):
            resp[lane, :k] = draws.draw("portfolio", k, restart)[1]()
        models = jax.tree.map(lambda *leaves: np.stack(leaves), *[Mixture(family) for family, *_ in lanes])
        data = Data(rows, weight)
        reference = MixtureParams(np.zeros(width), bound[0].reference(width, len(rows), np.float64))

        @jax.jit
        def first(models, resp):
            def m_step(model, resp):
                stats = model.family.expected_stats(reference.components, data.x, resp * data.weight)
                return model.m_step(reference, stats)

            return jax.vmap(m_step)(models, resp)

        params = jax.device_get(first(models, resp))
        plain, plain_trace, plain_states = paths("em", models, params, data)
        fast, fast_trace, fast_states = paths("squarem", models, params, data)
    sound = np.ones(len(lanes), bool)
    for states in (plain_states, fast_states):
        for lane, (family, k, _) in enumerate(lanes):
            here = jax.tree.map(lambda leaf, lane=lane, k=k: leaf[lane : lane + 1, :k], states.params)
            counts = np.exp(here.log_weights) * rows.shape[1]
            sound[lane] &= bool(family.admissible(here.components, counts)[0]) and states.status[lane] == 1
    gap, cells = fast - plain, {}
    for lane, (family, k, _) in enumerate(lanes):
        if sound[lane]:
            cells.setdefault((family.name, k), []).append((fast[lane], plain[lane]))
    together = sound & (np.abs(gap) <= SAME)
    top = np.maximum(plain, fast)
    slow, quick = arrivals(plain_trace, top)[together], arrivals(fast_trace, top)[together]
    return {
        "runs": int(sound.sum()),
        "left out": int((~sound).sum()),
        "lower": int((gap[sound] < -SAME).sum()),
        "higher": int((gap[sound] > SAME).sum()),
        "cells": len(cells),
        "cells lower": int(sum(max(a for a, _ in ends) < max(b for _, b in ends) - SAME for ends in cells.values())),
        "steps": {
            "em": int(slow.sum()),
            "squarem": int(quick.sum()),
            "ratio": round(float(slow.sum() / quick.sum()), 2),
            "median ratio": round(float(np.median(slow / quick)), 2),
            "ratio where EM takes over 100": round(float(slow[slow > 100].sum() / max(quick[slow > 100].sum(), 1)), 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="starts a cell")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    given = parser.parse_args()
    found = {}
    for name, (x, codes, components) in data_sets().items():
        found[name] = compare(x, codes, components, given.seeds)
        print(name, found[name], flush=True)
    about = {"jaxem": jaxem.__version__, "jax": jax.__version__, "python": platform.python_version(), "seeds": given.seeds}
    given.out.write_text(json.dumps({**about, "data sets": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
