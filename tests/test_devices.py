"""Several devices give what one gives. They are asked for before JAX starts, so this runs in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxem
from jaxem._precision import precision
from jaxem.accelerate import Squarem
from jaxem.families import resolve
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.protocol import Data
from jaxem.quasi_newton import QuasiNewton


SCRIPT = """
import json
import pathlib
import jax
import numpy as np
import jaxem
from jaxem import _traced, lanes
from jaxem.padding import pad_data

jax.config.update("jax_compilation_cache_dir", {cache!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
seen, mesh_for = [], lanes.mesh_for

def noted(*args, **how):
    mesh = mesh_for(*args, **how)
    seen.append(None if mesh is None else [mesh.axis_names[0], mesh.size])
    return mesh

lanes.mesh_for = noted
table = jaxem.datasets.gaussian_mixture(15_000, 3, 2, separation=4.0, seed=1).x
weights = np.random.default_rng(0).uniform(0.5, 2, len(table))
holes = np.where(np.arange(table.size).reshape(table.shape) % 14, table, np.nan).T

def small(**how):
    return jaxem.select(jaxem.datasets.load("faithful"), "VVI", [2, 3, 4], num_restarts=48, moves=False, **how)

def as_if_long():
    lanes.LONG, before = 0, lanes.LONG
    try:
        return small()
    finally:
        lanes.LONG = before

work = {{
    "lanes": small,
    "long": as_if_long,
    "floor": lambda: small(prior=jaxem.Prior(floor=0.01)),
    "rows": lambda: jaxem.select(table, "VVI", 5, weights=weights, num_restarts=4, moves=False),
}}
out = {{}}
for name, run in work.items():
    for how in ("all", "one"):
        seen.clear()
        with jax.default_device(jax.devices()[0] if how == "one" else None):
            fits = run().fits
        out[name, how] = {{"meshes": seen.copy(), "values": [fit.log_likelihood for fit in fits.values()]}}
missing = pad_data(holes, weights, np.float64, filled=np.nan_to_num(holes))
out["missing", "all"] = {{"meshes": [mesh_for(9, missing, of_rows=True, shareable=True) is not None], "values": []}}
_traced.keep_in(pathlib.Path({folder!r}))
for how in ("traced", "kept"):
    fits = work["rows"]().fits
    out["rows", how] = {{"meshes": [], "values": [fit.log_likelihood for fit in fits.values()]}}
    _traced._program.cache_clear()
print(json.dumps([[*key, value] for key, value in out.items()]))
"""


@pytest.mark.slow
def test_devices_agree(pytestconfig, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(cache=str(pytestconfig.cache.mkdir("jax")), folder=str(tmp_path))],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    outcomes = {(name, how): value for name, how, value in json.loads(done.stdout.splitlines()[-1])}
    for name, mesh in {"lanes": ["lanes", 2], "long": ["lanes", 2], "rows": ["rows", 3], "floor": None}.items():
        shared, alone = outcomes[name, "all"], outcomes[name, "one"]
        assert shared["values"] == pytest.approx(alone["values"], rel=1e-9)
        assert mesh in shared["meshes"]
        assert any(shared["meshes"]) == (mesh is not None)
        assert not any(alone["meshes"])
    assert outcomes["long", "all"]["values"] == pytest.approx(outcomes["lanes", "all"]["values"], rel=1e-9)
    assert outcomes["missing", "all"]["meshes"] == [False]
    for how in ("traced", "kept"):
        assert outcomes["rows", how]["values"] == pytest.approx(outcomes["rows", "all"]["values"], rel=1e-9)
    assert list(tmp_path.glob("*.jaxexport"))


BOTH = pytest.mark.parametrize("method", [Squarem(), QuasiNewton()], ids=lambda method: type(method).__name__)


def step_of(name, columns, prior, method, rng):
    """A model of two components, and the text of the program of one step."""
    x, weight, eye = rng.poisson(3.0, size=(columns, 60)).astype(float), np.ones(60), np.eye(columns)
    family = resolve(name, columns)[0].bind(x, weight, eye, np.float64)
    if prior is not None:
        family, _ = family.with_prior(prior, 2, np.zeros(columns), eye, 60.0)
    with precision(np.float64):
        model, data = Mixture(family), Data(x, weight)
        params = MixtureParams(np.log([0.4, 0.6]), family.reference(2, columns, np.float64))

        def steps(model, params, data):
            return method.step(model, method.from_params(model, params, data), data, 1e-3)

        return model, jax.jit(steps).lower(model, params, data).as_text()


@BOTH
@pytest.mark.parametrize(("name", "columns"), [("VVV", 5), ("VEV", 5), ("VEV", 33), ("EVE", 2), ("EVE", 5), ("poisson", 2)])
def test_products_keep_all_digits(name, columns, method, rng):
    """Accelerators round float32 to ten bits in a matrix product that does not ask for more."""
    products = [line for line in step_of(name, columns, None, method, rng)[1].splitlines() if "stablehlo.dot_general" in line]
    assert products
    assert [line for line in products if "precision = [HIGHEST, HIGHEST]" not in line] == []


@BOTH
@pytest.mark.parametrize(
    ("name", "columns", "prior", "shareable"),
    [
        ("gaussian", 2, None, True),
        ("EVE", 4, None, True),
        ("EVE", 5, None, False),
        ("VEV", 5, None, False),
        ("VEE", 5, jaxem.Prior(), True),
        ("VVV", 5, jaxem.Prior(floor=0.1), False),
        ("VVV", 48, None, True),
        ("VVV", 49, None, False),
        ("poisson", 2, None, True),
    ],
)
def test_what_devices_share_calls_nothing_of_lapack(name, columns, prior, shareable, method, rng):
    """On a CPU a batch of LAPACK's is waited for in the threads that are to do it: with all devices waiting, for ever."""
    model, program = step_of(name, columns, prior, method, rng)
    assert model.shareable is shareable
    assert ("lapack" in program) is not shareable
