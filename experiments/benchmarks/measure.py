"""One measurement in a process of its own, for run.py: `python measure.py TASK '{"data": FILE, ...}'` prints one JSON object.

A task works on data from a file, is called once (`first`: for JAX, with compilation) and then again (`seconds`), and tells its
log-likelihoods. Imports of the packages measured are inside the tasks, so that a task needs only its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np


MEGABYTE = 2**20


def load(path: str) -> Any:
    """Rows from .npy or .csv, or rows with a start from .npz."""
    if path.endswith(".csv"):
        return np.loadtxt(path, delimiter=",", skiprows=1)
    return np.load(path)


def timed(work: Callable[[], Any], repeats: int, budget: float) -> tuple[Any, dict[str, Any]]:
    """The result of `work`, the seconds of its first call and of at most `repeats` others, none begun after `budget` seconds."""
    taken: list[float] = []
    while len(taken) <= repeats and (not taken or sum(taken) < budget):
        began = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - began)
    warm = taken[1:] or taken
    return result, {"first": taken[0], "seconds": warm, "median": statistics.median(warm)}


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def peak() -> float:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def jaxem_versions() -> dict[str, str]:
    import jaxem

    return {"jaxem": jaxem.__version__, **versions("jax", "jaxlib", "numpy")}


def jaxem_select(data: str, families: Any, components: list[int], restarts: int, moves: bool, **often: Any) -> dict[str, Any]:
    """Every family with every number of components; memory too, from before the data are read."""
    import jax

    import jaxem

    device, before = jax.devices()[0].device_kind, peak()
    x = load(data)
    selection, times = timed(lambda: jaxem.select(x, families, components, num_restarts=restarts, moves=moves), **often)
    table = selection.table
    cells = [f"{family} {k}" for family, k in zip(table["family"], table["num_components"], strict=True)]
    found = {cell: value for cell, value in zip(cells, table["log_likelihood"], strict=True) if np.isfinite(value)}
    spurious = [cell for cell, flag in zip(cells, table["spurious"], strict=True) if flag is True or flag == 1]
    steps = {where: int(some.sum()) for where, some in selection.runs.groupby("rows")["num_steps"]}
    memory = {"before data": before, "data": x.nbytes / MEGABYTE, "peak": peak()}
    useful = selection.work["useful"] / selection.work["done"]
    about = {"useful share of lane steps": useful, "device": device, "dtype": "float64", "versions": jaxem_versions()}
    return {**times, "cells": found, "spurious": spurious, "lane steps": steps, "memory": memory, **about}


def jaxem_fit(data: str, family: str, steps: int, **often: Any) -> dict[str, Any]:
    """So many steps from a given start; the seconds of one more step, from half as many."""
    import jaxem

    given = load(data)
    x, start = given["x"], types.SimpleNamespace(**{name: given[name] for name in ("weights", "means", "covariances")})

    def fit(steps):
        return jaxem.fit(x, family, len(start.weights), start=start, max_steps=steps, tol=1e-12)

    result, times = timed(lambda: fit(steps), **often)
    fewer = steps // 2
    _, half = timed(lambda: fit(fewer), **often)
    step = (times["median"] - half["median"]) / (steps - fewer)
    about = {"steps": result.num_steps, "dtype": "float64", "versions": jaxem_versions()}
    return {**times, "step": step, "log_likelihood": result.log_likelihood, **about}


def jaxem_scaling(points: list[dict[str, Any]], **often: Any) -> dict[str, Any]:
    """`select` with full covariances for several sizes."""
    import jaxem

    out = []
    for point in points:
        x = jaxem.datasets.gaussian_mixture(point["rows"], 8, 8, separation=3.0, seed=7).x
        call = {"num_restarts": point["restarts"], "moves": False}
        selection, times = timed(lambda x=x, k=point["components"], call=call: jaxem.select(x, "VVV", [k], **call), **often)
        steps = {where: int(some.sum()) for where, some in selection.runs.groupby("rows")["num_steps"]}
        useful = selection.work["useful"] / selection.work["done"]
        out.append({**point, **times, "lane steps": steps, "useful share of lane steps": useful})
    return {"points": out, "versions": jaxem_versions()}


def rate(size: int = 2000, repeats: int = 9) -> dict[str, Any]:
    """The machine's matrix-product rate by JAX, in operations a second, the best of a few; double and single width."""
    import jax
    import jax.numpy as jnp

    out: dict[str, Any] = {"device": jax.devices()[0].device_kind, "versions": versions("jax", "jaxlib")}
    for dtype in ("float64", "float32"):
        with jax.enable_x64(True):
            a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), dtype)
            product = jax.jit(lambda a: jnp.dot(a, a, precision="highest"))
            _, times = timed(lambda product=product, a=a: product(a).block_until_ready(), repeats, 20.0)
        out[dtype] = 2 * size**3 / min(times["seconds"])
    return out


def sklearn_select(data: str, components: list[int], restarts: int, **often: Any) -> dict[str, Any]:
    """scikit-learn's defaults (tol 1e-3 of the mean log-likelihood, at most 100 steps, k-means starts) but for the restarts."""
    from sklearn.mixture import GaussianMixture

    x = load(data)
    models, times = timed(
        lambda: [GaussianMixture(k, n_init=restarts, random_state=k).fit(x) for k in components],
        **often,
    )
    cells = {f"VVV {model.n_components}": model.score(x) * len(x) for model in models}
    return {**times, "cells": cells, "dtype": "float64", "versions": versions("scikit-learn", "numpy")}


def sklearn_fit(data: str, kind: str, steps: int, **often: Any) -> dict[str, Any]:
    """So many steps from a given start."""
    from sklearn.mixture import GaussianMixture

    given = load(data)
    x, weights, means = (given[name] for name in ("x", "weights", "means"))
    precisions = np.linalg.inv(given["covariances"])
    if kind == "diag":
        precisions = np.diagonal(precisions, axis1=1, axis2=2)
    start = {"weights_init": weights, "means_init": means, "precisions_init": precisions}
    model = GaussianMixture(len(weights), covariance_type=kind, tol=0.0, max_iter=steps, random_state=0, **start)
    _, times = timed(lambda: model.fit(x), **often)
    about = {"steps": int(model.n_iter_), "dtype": "float64", "versions": versions("scikit-learn", "numpy")}
    return {**times, "log_likelihood": model.score(x) * len(x), **about}


def gmmx_fit(data: str, kind: str, steps: int, **often: Any) -> dict[str, Any]:
    """So many steps from a given start, in float32, its default; the log-likelihood is that before the last M-step."""
    import gmmx
    import jax
    import jax.numpy as jnp

    given = load(data)
    x = jnp.asarray(given["x"], jnp.float32)
    start = {name: jnp.asarray(given[name], jnp.float32) for name in ("means", "covariances", "weights")}
    model = gmmx.GaussianMixtureModelJax.from_squeezed(**start, covariance_type=kind)
    fitter = gmmx.EMFitter(max_iter=steps, tol=0.0)
    result, times = timed(lambda: jax.block_until_ready(fitter.fit(x=x, gmm=model)), **often)
    about = {"steps": int(result.n_iter), "dtype": "float32", "versions": versions("gmmx", "jax")}
    return {**times, "log_likelihood": float(result.log_likelihood) * len(x), **about}


def pomegranate_fit(data: str, kind: str, steps: int, dtype: str, **often: Any) -> dict[str, Any]:
    """So many steps from a given start."""
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    given = {name: torch.as_tensor(array, dtype=getattr(torch, dtype)) for name, array in load(data).items()}
    x, pairs = given["x"], list(zip(given["means"], given["covariances"], strict=True))

    def fit():  # in place, so from copies
        parts = [Normal(means=mean.clone(), covs=covariance.clone(), covariance_type=kind) for mean, covariance in pairs]
        return GeneralMixtureModel(parts, priors=given["weights"].clone(), max_iter=steps, tol=-np.inf).fit(x)

    model, times = timed(fit, **often)
    about = {"steps": steps, "dtype": dtype, "versions": versions("pomegranate", "torch")}
    return {**times, "log_likelihood": float(model.log_probability(x).sum()), **about}


TASKS = {
    task.__name__: task
    for task in (jaxem_select, jaxem_fit, jaxem_scaling, rate, sklearn_select, sklearn_fit, gmmx_fit, pomegranate_fit)
}


def main() -> None:
    task, arguments = sys.argv[1], json.loads(sys.argv[2])
    most = arguments.pop("memory_limit", None)
    if most:  # an error says more than a machine that runs out of memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    warnings.simplefilter("ignore")
    print(json.dumps(TASKS[task](**arguments)))


if __name__ == "__main__":
    main()
