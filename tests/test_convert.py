"""Fits as objects of other packages: the same density there, and back."""

from __future__ import annotations

import dataclasses
import warnings

import jax
import numpy as np
import pytest
from helpers import jit
from scipy import stats
from sklearn import mixture

import jaxem


STRUCTURES = {
    "EII": "tied",
    "VII": "spherical",
    "EEI": "tied",
    "VVI": "diag",
    "EEE": "tied",
    "VVV": "full",
    "VEI": "diag",
    "EVE": "full",
}


@pytest.fixture(scope="module")
def fits(faithful):
    """Every structure, one run each: where it ends does not matter here."""
    resp = np.eye(2)[(faithful["waiting"] > 65).astype(int)]
    return {code: jaxem.fit(faithful, code, 2, start=resp, max_steps=5) for code in STRUCTURES}


@pytest.mark.parametrize("code", STRUCTURES)
def test_to_scikit_learn_and_back(fits, faithful, code):
    fit = fits[code]
    there = fit.to_sklearn()
    assert there.covariance_type == STRUCTURES[code]
    np.testing.assert_allclose(there.score_samples(faithful), fit.log_prob(faithful), rtol=1e-9)
    np.testing.assert_array_equal(there.predict(faithful), fit.predict(faithful))
    back = jaxem.Fit.from_sklearn(there, faithful)
    assert back.columns == fit.columns
    for name in ("log_likelihood", "num_rows", "log_assigned", "entropy"):
        assert getattr(back, name) == pytest.approx(getattr(fit, name), rel=1e-9), name
    np.testing.assert_array_equal(back.sizes, fit.sizes)
    if code not in ("EII", "EEI", "VEI", "EVE"):  # which scikit-learn does not know, and counts otherwise
        assert (back.family, back.num_params) == (fit.family, fit.num_params)
        assert there.bic(faithful) == pytest.approx(fit.bic)


def test_what_has_not_converged_is_to_go_on(faithful):
    fit = jaxem.Fit.from_sklearn(mixture.GaussianMixture(3, random_state=0).fit(faithful), faithful)
    with pytest.raises(RuntimeError, match=r"is no maximum .*; it has not converged: go on from it with jaxem.fit\("):
        fit.standard_errors(faithful)


def test_what_scikit_learn_fitted_is_taken_on(faithful):
    theirs = mixture.GaussianMixture(2, random_state=0).fit(faithful)
    fit = jaxem.Fit.from_sklearn(theirs, faithful)
    assert fit.log_likelihood == pytest.approx(theirs.score(faithful) * len(faithful))
    assert fit.bic == pytest.approx(theirs.bic(faithful))
    assert not fit.converged
    turned = jaxem.Fit.from_sklearn(theirs, faithful[["waiting", "eruptions"]].assign(more=1.0), np.full(len(faithful), 2.0))
    assert turned.log_likelihood == pytest.approx(2 * fit.log_likelihood)
    with pytest.raises(ValueError, match="the fit uses column 'waiting', which these data lack"):
        jaxem.Fit.from_sklearn(theirs, faithful[["eruptions"]])
    assert jaxem.fit(faithful, fit.family, 2, start=fit.params).log_likelihood >= fit.log_likelihood
    alone = jaxem.Fit.from_sklearn(theirs)
    assert np.isnan(alone.log_likelihood)
    np.testing.assert_array_equal(alone.predict(faithful), fit.predict(faithful))
    with pytest.raises(TypeError, match="takes a fitted GaussianMixture"):
        jaxem.Fit.from_sklearn(mixture.GaussianMixture(2))


def test_names_go_along_where_they_are_the_users_own(fits, faithful, x):
    """scikit-learn warns where a frame was seen and an array comes, or the other way round."""
    fit = fits["VVV"]
    assert fit.to_sklearn().feature_names_in_.tolist() == ["eruptions", "waiting"]
    for names in (("x1", "x2"), ("0", "1")):
        counted = dataclasses.replace(fit, columns=names, input_columns=names).to_sklearn()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(counted.predict(x), fit.predict(x))
        assert jaxem.Fit.from_sklearn(counted, faithful).log_likelihood == pytest.approx(fit.log_prob(x).sum())


@pytest.mark.slow
def test_to_numpyro(fits, faithful, earthquakes):
    for fit, data in [(fits["VVV"], faithful), (jaxem.fit(earthquakes, "poisson", 2, num_restarts=2), earthquakes)]:
        with jax.enable_x64(True):
            there = fit.to_numpyro()
            np.testing.assert_allclose(jit(there.log_prob)(data.to_numpy()), fit.log_prob(data), rtol=1e-9)
            assert jit(there.sample, static_argnums=1)(jax.random.key(0), (3,)).shape == (3, len(fit.columns))


def test_to_scipy(faithful, earthquakes):
    one = jaxem.fit(faithful["waiting"], "V", 2, num_restarts=2)
    there = one.to_scipy()
    np.testing.assert_allclose(there.logpdf(faithful["waiting"].to_numpy()), one.log_prob(faithful["waiting"]), rtol=1e-9)
    assert there.cdf(1e3) == pytest.approx(1)
    single = jaxem.fit(faithful, "VVV", 1)
    np.testing.assert_allclose(single.to_scipy().logpdf(faithful.to_numpy()), single.log_prob(faithful), rtol=1e-9)
    counts = jaxem.fit(earthquakes, "poisson", 1).to_scipy()
    assert counts.mean() == pytest.approx(earthquakes["count"].mean())
    assert stats.poisson(counts.mean()).pmf(20) == counts.pmf(20)


def test_what_does_not_exist_is_said(fits, earthquakes):
    with pytest.raises(ValueError, match="SciPy has no mixture of VVV with K = 2 in 2 columns; use to_numpyro"):
        fits["VVV"].to_scipy()
    noisy = dataclasses.replace(fits["VVV"], terms={"noise": {}})
    for convert in (noisy.to_sklearn, noisy.to_numpyro, noisy.to_scipy):
        with pytest.raises(ValueError, match=f"{convert.__name__} knows mixtures of one family, and this fit has noise"):
            convert()
    with pytest.raises(ValueError, match="to_sklearn takes a Gaussian fit, and this one is poisson"):
        jaxem.fit(earthquakes, "poisson", 2, num_restarts=2).to_sklearn()
