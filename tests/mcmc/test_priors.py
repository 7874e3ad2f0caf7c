"""Priors: what they say, and what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import jaxem
from jaxem.bayes import GaussianPrior, fraley_raftery, priors, richardson_green, weak


def test_richardson_green_of_the_galaxies_is_as_published():
    """R = 25.107 and ξ = 21.7255 (Richardson & Green 1997, sec. 4): β ~ Γ(0.2, 10/R²), σ⁻² ~ Γ(2, β)."""
    velocities = jaxem.datasets.load("galaxies").to_numpy()
    prior = richardson_green(velocities, "V")
    extent = np.ptp(velocities)
    assert prior.location == pytest.approx(velocities.min() + extent / 2)
    assert prior.location_precision == pytest.approx(np.array([[extent**-2]]))
    assert (prior.dof / 2, prior.hyper_dof / 2) == (2.0, 0.2)
    assert prior.hyper_rate == pytest.approx(np.array([[10 / extent**2]]))


def test_weak_prior_is_worth_a_row(two, x):
    prior = weak(two, x)
    within = np.einsum("k,kij->ij", two.params.weights, two.params.covariances)
    assert prior.scale / (prior.dof - 3) == pytest.approx(within)  # the mean of an inverse Wishart in two columns
    assert priors.resolve(None, two, x).scale == pytest.approx(prior.scale)


def test_fraley_raftery_follows_its_formula(x):
    prior = fraley_raftery(x, "EEE", 3)
    assert (prior.dof, prior.shrinkage) == (4.0, 0.01)
    assert prior.scale == pytest.approx(np.cov(x.T) / 3)


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
    with pytest.raises(ValueError, match="column 2 of the data is constant"):
        richardson_green(x * [1.0, 0.0], "VVV")
    with pytest.raises(ValueError, match="family must be one of VVV"):
        fraley_raftery(x, "poisson", 2)


def test_a_prior_made_by_hand_is_taken(two, x):
    mine = GaussianPrior([3.0, 70.0], 0.1, None, 5, np.eye(2).tolist(), None, None, 2, family="VVV")
    assert priors.resolve(mine, two, x).scale.dtype == np.float64
