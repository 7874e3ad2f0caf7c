"""The NumPyro model of every structure: the same density as the fit's, with the params' names."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import jit
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn
from scipy import stats

import jaxem
from jaxem._linalg import inverse_factor
from jaxem._precision import precision
from jaxem.bayes import laplace, mixture_model, priors
from jaxem.bayes.gaussian import SHAPES
from jaxem.bayes.sites import InverseWishart, Normal


def _asked(model, values, rows):
    """Log-density of rows at some values, these without constraints and back, and the potential energy there."""
    observed = trace(substitute(seed(model, 0), values)).get_trace(rows)["x"]
    free = unconstrain_fn(model, (rows,), {}, values)
    back = constrain_fn(model, (rows,), {}, free, return_deterministic=True)
    return observed["fn"].log_prob(observed["value"]), free, back, potential_energy(model, (rows,), {}, free)


@pytest.mark.slow
@pytest.mark.parametrize("code", [*SHAPES, "poisson"])
@pytest.mark.parametrize("name", ["weak", "richardson-green"])
def test_log_density_is_that_of_the_fit(code, name, x):
    rows = x[:60].round() if code == "poisson" else x[:60, : 2 if len(code) == 3 else 1]
    resp = np.eye(2)[(rows[:, 0] > 3).astype(int)]
    fit = jaxem.fit(rows, code, 2, start=resp)
    prior = priors.resolve(name, fit, rows)
    with precision(np.float64):
        model = mixture_model(prior, 2)
        values = {"weights": fit.params.weights, **prior.site_values(fit.params.asdict())}
        log_prob, free, back, energy = jit(lambda values, rows: _asked(model, values, rows))(values, rows)
        np.testing.assert_allclose(log_prob, fit.log_prob(rows), atol=1e-9)
        assert np.isfinite(energy)
    for site, array in fit.params.asdict().items():
        np.testing.assert_allclose(back[site], array, rtol=1e-9, atol=1e-9)
    assert sum(np.size(v) for site, v in free.items() if site != "scale") == fit.num_params


def test_inverse_wishart_is_scipys(rng):
    scale = np.cov(rng.normal(size=(3, 9)))
    value = np.cov(rng.normal(size=(3, 9)))
    with precision(np.float64):
        ours = InverseWishart(6.5, jnp.asarray(scale)).log_prob(jnp.asarray(value))
    assert float(ours) == pytest.approx(stats.invwishart(6.5, scale).logpdf(value), abs=1e-9)


def test_normal_is_scipys(rng):
    covariance, location = np.cov(rng.normal(size=(3, 9))), rng.normal(size=3)
    value = rng.normal(size=(2, 3))
    with precision(np.float64):
        ours = Normal(location, inverse_factor(jnp.asarray(covariance)))
        found, drawn = ours.log_prob(jnp.asarray(value)), ours.sample(jax.random.key(0), (20_000,))
    np.testing.assert_allclose(found, stats.multivariate_normal(location, covariance).logpdf(value), atol=1e-9)
    drawn = np.asarray(drawn)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.05 * np.abs(covariance).max())
    np.testing.assert_allclose(drawn.mean(0), location, atol=0.03)


def test_density_calls_nothing_of_lapack(rng):
    """Two batches of triangular solves at once wait for ever on a CPU of two threads: `peaks` once hung in 20 columns."""
    rows = rng.normal(size=(60, 5))
    fit = dataclasses.replace(jaxem.fit(rows, "VVV", 1), family="VII")
    with precision(np.float64):
        prior = priors.resolve("weak", fit, rows)
        values = {"weights": jnp.ones(1), **prior.site_values(fit.params.asdict())}
        space = laplace.Space(prior, jnp.asarray(rows), values)
        point = space.flatten(values)
        program = jax.jit(jax.vmap(jax.grad(space.log_density))).lower(point[None]).as_text()
    assert "lapack" not in program
