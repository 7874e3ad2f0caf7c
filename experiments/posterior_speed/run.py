"""How many effective draws a second does the posterior of a mixture take, here and elsewhere?

    python run.py [--out results.json] [--repeats 3] [--without nutpie]

Old Faithful, two full Gaussian components, 4 chains of 500 + 1000 draws, one process. Every sampler gets the same data, prior (the
normal-inverse-Wishart one that is the default of `Fit.posterior`), start (the EM solution) and number of draws; a row is left out, and
said to be, where its package is not installed. Cold is the first call with all its compiling, warm the median of the later ones with
other seeds, by the clock and in seconds of processor time of all cores (which other work on the machine does not lengthen as much);
the effective sample size is ArviZ's bulk ESS of the worst of all 12 weights, means and covariances.

The rivals: NumPyro through its own `MCMC.run`, which traces anew in every call; BlackJAX's window-adapted NUTS on the same potential in one
compiled program; PyMC with nutpie, whose model has an LKJ prior in place of the Wishart, since PyMC has no inverse Wishart to sample.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxem
from jaxem.bayes import diagnostics, mixture_model, priors


CHAINS, WARMUP, DRAWS, K = 4, 500, 1000, 2
PACKAGES = ("jax", "numpyro", "arviz", "blackjax", "pymc", "nutpie", "numpy")


def smallest_ess(draws: dict[str, np.ndarray]) -> tuple[float, float]:
    """Bulk ESS and R-hat of the worst number; covariances by their lower triangle."""
    numbers = [*np.moveaxis(draws["weights"], -1, 0)]
    numbers += [draws["means"][..., k, j] for k in range(K) for j in range(2)]
    numbers += [draws["covariances"][..., k, i, j] for k in range(K) for i, j in ((0, 0), (1, 0), (1, 1))]
    return min(map(diagnostics.ess, numbers)), max(map(diagnostics.rhat, numbers))


def measured(name: str, sample: Callable[[int], dict[str, np.ndarray]], repeats: int) -> dict:
    """Seconds cold and warm, and effective draws a second."""
    seconds, work, worst = [], [], []
    for seed in range(1 + repeats):
        began, spent = time.perf_counter(), time.process_time()
        draws = sample(seed)
        seconds.append(time.perf_counter() - began)
        work.append(time.process_time() - spent)
        worst.append(smallest_ess(draws))
    warm = statistics.median(seconds[1:])
    ess = statistics.median(pair[0] for pair in worst[1:])
    row = {"sampler": name, "cold": seconds[0], "warm": warm, "ess": ess, "ess_per_second": ess / warm}
    row |= {"warm_processor": statistics.median(work[1:]), "ess_per_processor_second": ess / statistics.median(work[1:])}
    row |= {"r_hat": max(pair[1] for pair in worst), "all_seconds": seconds}
    print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
    return row


def ours(fit: jaxem.Fit, data, sampler: str, parts: dict) -> Callable:
    """`Fit.posterior`, whole: starts, chains, naming of components, standard errors, rows' log-likelihoods."""

    def sample(seed):
        post = fit.posterior(data, CHAINS, WARMUP, DRAWS, sampler, seed=seed)
        parts.setdefault(sampler, []).append(post.seconds["running"])
        return post.draws

    return sample


def numpyro_mcmc(fit, x, prior) -> Callable:
    from numpyro.infer import MCMC, NUTS, init_to_value

    start = {"weights": fit.params.weights, **prior.site_values(fit.params.asdict())}
    kernel = NUTS(mixture_model(prior, K), init_strategy=init_to_value(values=start), max_tree_depth=8)
    options = {"num_warmup": WARMUP, "num_samples": DRAWS, "num_chains": CHAINS, "chain_method": "vectorized"}
    mcmc = MCMC(kernel, **options, progress_bar=False, jit_model_args=True)

    def sample(seed):
        mcmc.run(jax.random.key(seed), x)
        return jax.device_get(mcmc.get_samples(group_by_chain=True))

    return sample


def blackjax_nuts(fit, x, prior) -> Callable:
    import blackjax

    from jaxem.bayes.laplace import Space

    space = Space(prior, x, {"weights": jnp.asarray(fit.params.weights), **prior.site_values(fit.params.asdict())})
    start = space.flatten(space.example)

    @jax.jit
    def run(keys):
        def chain(key):
            adapt, draw = jax.random.split(key)
            warmup = blackjax.window_adaptation(blackjax.nuts, space.log_density)
            (state, parameters), _ = warmup.run(adapt, start, WARMUP)
            kernel = blackjax.nuts(space.log_density, **parameters)
            step = lambda state, key: (kernel.step(key, state)[0],) * 2  # noqa: E731
            return jax.vmap(space.values)(jax.lax.scan(step, state, jax.random.split(draw, DRAWS))[1].position)

        return jax.vmap(chain)(keys)

    return lambda seed: jax.device_get(run(jax.random.split(jax.random.key(seed), CHAINS)))


def pymc_nutpie(fit, x, prior) -> Callable:
    import nutpie
    import pymc as pm

    unit = np.asarray(x).std(0)
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", np.ones(K))
        means = pm.Normal("means", np.asarray(x).mean(0), 10 * unit, shape=(K, 2))
        parts = [
            pm.LKJCholeskyCov(f"factor{k}", eta=1.5, n=2, sd_dist=pm.LogNormal.dist(np.log(unit / 2), 1, shape=2))
            for k in range(K)
        ]
        for k, (factor, _, _) in enumerate(parts):
            pm.Deterministic(f"covariance{k}", factor @ factor.T)
        components = [pm.MvNormal.dist(means[k], chol=factor) for k, (factor, _, _) in enumerate(parts)]
        pm.Mixture("x", weights, components, observed=np.asarray(x))
    compiled = nutpie.compile_pymc_model(model, initial_points={"weights": fit.params.weights, "means": fit.params.means})

    def sample(seed):
        trace = nutpie.sample(compiled, draws=DRAWS, tune=WARMUP, chains=CHAINS, cores=2, seed=seed, progress_bar=False)
        group = trace["posterior"]
        covariances = np.stack([np.asarray(group[f"covariance{k}"]) for k in range(K)], axis=2)
        return {"weights": np.asarray(group["weights"]), "means": np.asarray(group["means"]), "covariances": covariances}

    return sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("results.json"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--without", nargs="*", default=[], choices=("numpyro", "blackjax", "nutpie"), help="rivals to leave out"
    )
    asked = parser.parse_args()
    data = jaxem.datasets.load("faithful")
    fit = jaxem.fit(data, "VVV", K)
    prior, parts = priors.resolve(None, fit, data), {}
    versions = {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    about = {"date": datetime.date.today().isoformat(), "python": platform.python_version(), "cores": os.cpu_count()}
    about |= {"load before": os.getloadavg()[0], "versions": versions}
    config = {"data": "faithful", "family": "VVV", "chains": CHAINS, "warmup": WARMUP, "draws": DRAWS}
    result = {"config": config, "provenance": about, "rows": [], "left out": []}

    def keep(row: dict) -> None:  # after each row: what has been measured is not lost
        result["rows"].append(row)
        asked.out.write_text(json.dumps(result, indent=1) + "\n")

    for name in ("gibbs", "nuts", "laplace"):
        row = measured(f"jaxem {name}", ours(fit, data, name, parts), asked.repeats)
        alone = statistics.median(parts[name][1:])
        keep(row | {"warm_sampler_alone": alone, "ess_per_second_sampler_alone": row["ess"] / alone})
    with jax.enable_x64(True):
        x = jnp.asarray(data.to_numpy())
        rivals = {"numpyro": ("NumPyro MCMC.run", numpyro_mcmc), "blackjax": ("BlackJAX NUTS", blackjax_nuts)}
        rivals["nutpie"] = ("PyMC + nutpie", pymc_nutpie)
        for package, (name, make) in rivals.items():
            if package in asked.without or importlib.util.find_spec(package) is None:
                result["left out"].append(name)
                asked.out.write_text(json.dumps(result, indent=1) + "\n")
                continue
            began = time.perf_counter()
            sample = make(fit, x, prior)
            built = time.perf_counter() - began
            keep(measured(name, sample, asked.repeats) | {"built": built})


if __name__ == "__main__":
    main()
