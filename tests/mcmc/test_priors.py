"""Priors: what they say, and what they refuse."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from helpers import jit, sites
from numpyro.handlers import seed, substitute, trace
from scipy import stats

import jaxem
from jaxem._precision import precision
from jaxem.bayes import GaussianPrior, fraley_raftery, mixture_model, partitions, priors, richardson_green, weak
from jaxem.bayes.gaussian import SHAPES
from jaxem.families.gaussian import GaussianParams, GaussianStats


def test_richardson_green_of_the_galaxies_is_as_published():
    """R = 25.107 and ξ = 21.7255 (Richardson & Green 1997, sec. 4): β ~ Γ(0.2, 10/R²), σ⁻² ~ Γ(2, β)."""
    velocities = jaxem.datasets.load("galaxies").to_numpy()
    prior = richardson_green(velocities, "V")
    extent = np.ptp(velocities)
    assert prior.location == pytest.approx(velocities.min() + extent / 2)
    assert prior.location_precision == pytest.approx(np.array([[extent**-2]]))
    assert (prior.dof / 2, prior.hyper_dof / 2) == (2.0, 0.2)
    assert prior.hyper_rate == pytest.approx(np.array([[10 / extent**2]]))


@pytest.fixture(scope="module")
def wide():
    """One component in twelve columns of different widths, and its rows."""
    rows = np.random.default_rng(0).normal(size=(60, 12)) * np.arange(1, 13)
    return jaxem.fit(rows, "VVV", 1), rows


@pytest.mark.parametrize("code", ["VVV", "VVI", "VII"])
def test_weak_prior_is_worth_a_row(wide, code):
    """The mean over 4000 components of draws given 30 rows of covariance 9, whose mean is the prior's: (W + 30 · 9)/(1 + 30), with the
    prior of the component's own mean as one row more.
    """
    fit, rows = dataclasses.replace(wide[0], family=code), wide[1]
    prior, k, d = weak(fit, rows), 4000, 12
    nine = GaussianStats(np.full(k, 30.0), np.zeros((k, d)), np.tile(270.0 * np.eye(d)[np.triu_indices(d)], (k, 1)))
    with precision(np.float64):
        at = GaussianParams(np.tile(prior.location, (k, 1)), np.tile(np.eye(d), (k, 1, 1)))
        drawn = jit(lambda key: prior.publish(prior.draw(key, at, nine))["covariances"])(jax.random.key(0))
    within = np.diag(fit.params.covariances[0])
    within = np.full(d, within.mean()) if code == "VII" else within
    np.testing.assert_allclose(np.diagonal(np.asarray(drawn).mean(0)), (within + 270) / (1 + 30 + 1), rtol=0.03)


@pytest.mark.parametrize("code", ["VVI", "EEI", "VII", "EII"])
def test_weak_prior_has_the_fits_covariance_as_its_mean(wide, code):
    """The model's density is that of SciPy's distribution whose mean, by SciPy, is the fit's covariance."""
    fit = dataclasses.replace(wide[0], family=code)
    prior, within = weak(fit, wide[1]), fit.params.covariances[0]
    assert priors.resolve(None, fit, wide[1]).dof == prior.dof
    means = np.diag(within) if prior.shape == "diagonal" else np.diag(within).mean()
    gamma = stats.invgamma(1.5, scale=means / 2) if prior.shape == "diagonal" else stats.invgamma(7, scale=6 * means)
    assert gamma.mean() == pytest.approx(means)
    with precision(np.float64):
        values = {"weights": np.ones(1), **prior.site_values(fit.params.asdict())}
        found = trace(substitute(seed(mixture_model(prior, 1), 0), values)).get_trace(wide[1])
        site = found["variance" if prior.pooled else "variances"]
        assert float(np.sum(site["fn"].log_prob(site["value"]))) == pytest.approx(gamma.logpdf(means).sum())


def test_fraley_raftery_follows_its_formula(x):
    prior = fraley_raftery(x, "EEE", 3)
    assert (prior.dof, prior.shrinkage) == (4.0, 0.01)
    assert prior.scale == pytest.approx(np.cov(x.T) / 3)


@pytest.mark.parametrize("code", SHAPES)
def test_fraley_raftery_is_one_prior_for_em_and_mcmc(x, code):
    """Diagonal and spherical structures have one number for all columns (Fraley & Raftery 2007, sec. 3), however uneven these are."""
    rows = x if len(code) == 3 else x[:, 0]
    fit = jaxem.fit(rows, code, 2, prior="fraley-raftery", num_restarts=1, num_finalists=1, moves=False, max_steps=5)
    ours, theirs = priors.resolve("fraley-raftery", fit, rows), fit.terms["prior"]
    assert (ours.dof, ours.shrinkage) == (theirs["dof"], theirs["shrinkage"])
    np.testing.assert_allclose(ours.location, theirs["mean"])
    scale = np.diag(ours.scale).mean() if np.ndim(theirs["scale"]) == 0 else ours.scale
    np.testing.assert_allclose(scale, theirs["scale"])


def test_fraley_raftery_of_columns_that_say_the_same_is_proper(x):
    """As for EM: the diagonal of a singular covariance."""
    prior = fraley_raftery(x[:, [0, 0]], "VVV", 3)
    np.testing.assert_allclose(prior.scale, np.eye(2) * x[:, 0].var(ddof=1) / 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"location": [1.0, 2.0, 3.0]}, r"location must have shape \(2,\), one entry a column, got shape \(3,\)"),
        ({"scale": np.eye(3)}, r"scale must have shape \(2, 2\), got shape \(3, 3\)"),
        ({"scale": [[1.0, 2.0], [2.0, 1.0]]}, "scale must be symmetric positive definite"),
        ({"dof": 1.0}, "dof must be one number above 1, got 1.0"),
        ({"dof": "many"}, "dof must be numbers"),
        ({"shrinkage": -1.0}, "shrinkage must be one number above 0"),
        ({"concentration": 0.0}, "concentration must be one number above 0"),
        ({"location": [np.nan, 1.0]}, "location must be finite"),
        ({"scale": None}, "give either scale or hyper_dof and hyper_rate"),
        ({"location_precision": np.eye(2)}, "give either shrinkage or location_precision"),
    ],
)
def test_impossible_prior_is_refused(two, x, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        priors.resolve(dataclasses.replace(weak(two, x), **change), two, x)


@pytest.mark.parametrize(
    ("prior", "error", "sentence"),
    [
        ("flat", ValueError, "prior must be one of 'weak'"),
        (3, TypeError, "a name or a prior made by jaxem.bayes, got int"),
    ],
)
def test_unknown_prior_is_refused(two, x, prior, error, sentence):
    with pytest.raises(error, match=sentence):
        priors.resolve(prior, two, x)


def test_prior_of_another_family_is_refused(two, x):
    with pytest.raises(ValueError, match="prior is for family 'EEE', but the fit's is 'VVV'"):
        priors.resolve(richardson_green(x, "EEE"), two, x)


def test_constant_column_and_unknown_structure_are_refused(x):
    for make in (richardson_green, lambda rows, code: fraley_raftery(rows, code, 2)):
        with pytest.raises(ValueError, match="column 2 of the data is constant"):
            make(x * [1.0, 0.0], "VVV")
    with pytest.raises(ValueError, match="family must be one of VVV"):
        fraley_raftery(x, "poisson", 2)


@pytest.mark.parametrize("family", ["Poisson", jaxem.families.Poisson()])
def test_families_are_named_as_for_fit(x, family):
    assert richardson_green(x, family).family == "poisson"
    assert partitions.components_prior("richardson-green", x, family).family == "poisson"


@pytest.mark.parametrize("family", ["full", "vvv", jaxem.families.gaussian("VVV")])
def test_structures_are_named_as_for_fit(two, x, family):
    assert {make.family for make in (richardson_green(x, family), fraley_raftery(x, family, 2))} == {"VVV"}
    assert {make.family for make in (richardson_green(x[:, :1], family), fraley_raftery(x[:, 0], family, 2))} == {"V"}
    mine = GaussianPrior(np.array([3.0, 70.0]), 0.1, None, 5.0, np.eye(2), None, None, 2.0, family=family)
    assert priors.resolve(mine, two, x).family == two.family
    assert "covariances" in sites(mixture_model(mine, 2), num_rows=3)


def test_families_without_a_prior_are_refused(x):
    with pytest.raises(
        ValueError, match="family must be one of VVV, EEE, VVI, EEI, VII, EII, V, E, poisson, categorical, got 'VEE'"
    ):
        richardson_green(x, "VEE")
    with pytest.raises(ValueError, match="family must be one of VVV, EEE, VVI, EEI, VII, EII, V, E, got 'VEE'"):
        GaussianPrior(np.zeros(2), 0.1, None, 5.0, np.eye(2), None, None, 2.0, family="VEE")
    with pytest.raises(TypeError, match="a family is a name or an object"):
        richardson_green(x, None)


def test_a_prior_made_by_hand_is_taken(two, x):
    mine = GaussianPrior([3.0, 70.0], 0.1, None, 5, np.eye(2).tolist(), None, None, 2, family="VVV")
    assert priors.resolve(mine, two, x).scale.dtype == np.float64
