"""The Gibbs sweep leaves the joint distribution of params, hyperparameters and rows as it is (Geweke 2004, JASA 99)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import jit
from scipy import stats

from jaxem._precision import precision
from jaxem.bayes import CategoricalPrior, GaussianPrior, PoissonPrior, StudentPrior, gibbs
from jaxem.bayes.model import family_of
from jaxem.bayes.prior import log_dirichlet
from jaxem.models.mixture import MixtureParams


REPEATS, ROWS, K = 1500, 12, 2
A = np.array([[2.0, 0.5], [0.5, 1.0]])
HALF, FIVE, SIX = np.float64(0.5), np.float64(5.0), np.float64(6.0)
WEIGHTS = np.float64(1.5)
MEAN = np.full(2, 0.5)

PRIORS = {
    "VII learned scale": GaussianPrior(MEAN, HALF, None, SIX, None, FIVE, A, WEIGHTS, family="VII"),
    "tVVI known dof": StudentPrior(GaussianPrior(MEAN, HALF, None, SIX, A, None, None, WEIGHTS, family="VVI"), dof=3.0),
    "tEEE learned scale": StudentPrior(GaussianPrior(MEAN, None, A, SIX, None, FIVE, A, WEIGHTS, family="EEE"), 3.0, 0.5),
    "tVII equal dof": StudentPrior(GaussianPrior(MEAN, HALF, None, SIX, A, None, None, WEIGHTS, family="VII"), dof="equal"),
    "categorical": CategoricalPrior(np.array([[1.0, 2.0, 0.5], [1.5, 0.7, 1.0]]), WEIGHTS, there=((0, 1, 2), (0, 1))),
    "poisson learned rate": PoissonPrior(np.array([2.0, 3.0]), None, np.full(2, 3.0), np.array([2.0, 1.0]), WEIGHTS),
}


def prior_draw(prior, key):
    """A state from the prior, its hyperparameter included."""
    over, ours, weights = jax.random.split(key, 3)
    hyper = prior.sample_hyper(over)
    log_weights = log_dirichlet(weights, jnp.full(K, prior.concentration))
    return gibbs.GibbsState(MixtureParams(log_weights, prior.sample(ours, K, hyper)), hyper)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRIORS)
def test_sweep_leaves_the_joint_distribution_alone(name):
    prior = PRIORS[name]

    def repeat(key):
        begin, labels, rows, sweeps = jax.random.split(key, 4)
        family, before = family_of(prior), prior_draw(prior, begin)
        components = jax.random.categorical(labels, before.params.log_weights, shape=(ROWS,))
        x = family.sample(rows, before.params.components, components)
        after, _ = jax.lax.scan(lambda s, key: gibbs.sweep(key, prior, family, x, s), before, jax.random.split(sweeps, 2))
        return before, after

    with precision(np.float64):
        before, after = jit(jax.vmap(repeat))(jax.random.split(jax.random.key(3), REPEATS))
    first, last = (np.concatenate([np.reshape(leaf, (REPEATS, -1)) for leaf in jax.tree.leaves(s)], 1) for s in (before, after))
    half, vary = REPEATS // 2, first.std(0) > 1e-12
    p = [stats.ks_2samp(a[:half], b[half:]).pvalue for a, b in zip(first.T[vary], last.T[vary], strict=True)]
    assert min(p) * len(p) > 0.01
