"""Standard errors: against exact numbers made elsewhere, against SciPy's densities differentiated numerically, and their sentences."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxem
from jaxem import information
from jaxem.families import gaussian
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.protocol import Data
from jaxem.standard_errors import align


REFERENCE = pathlib.Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def loose(x):
    """A fit that stops early: the errors are those of the maximum all the same."""
    return jaxem.fit(x, "VVV", 2, num_restarts=2, moves=False, tol=1e-2)


@pytest.mark.parametrize(("kind", "key"), [("observed", "se_observed_information"), ("sandwich", "se_sandwich")])
def test_analytic_errors_are_exact(loose, x, kind, key):
    """Direct maximisation and automatic differentiation in natural parameters, without the package (reference/README.md)."""
    wanted = json.loads((REFERENCE / "information_faithful.json").read_text())
    errors = loose.standard_errors(x, kind).params
    got = [errors.weights[1], *errors.means[::-1].ravel()]
    for covariance in errors.covariances[::-1]:
        got += [covariance[0, 0], covariance[1, 0], covariance[1, 1]]
    np.testing.assert_allclose(got, wanted[key], rtol=1e-5)


def numerical_hessian(function, at, step):
    """Central differences of second order, one Richardson step."""

    def once(h):
        hessian = np.empty((len(at), len(at)))
        for i in range(len(at)):
            for j in range(i + 1):
                value = 0.0
                for a in (1, -1):
                    for b in (1, -1):
                        point = at.copy()
                        point[i] += a * h[i]
                        point[j] += b * h[j]
                        value += a * b * function(point)
                hessian[i, j] = hessian[j, i] = value / (4 * h[i] * h[j])
        return hessian

    return (4 * once(step / 2) - once(step)) / 3


def test_shared_covariances_against_scipy(x):
    """EEE: weights, means and the one covariance as coordinates, SciPy's density, differences."""
    fit = jaxem.fit(x, "EEE", 2, num_restarts=2, moves=False, tol=1e-9)
    own = fit.params

    def log_likelihood(at):
        weights = np.array([at[0], 1 - at[0]])
        covariance = [[at[5], at[6]], [at[6], at[7]]]
        parts = [stats.multivariate_normal(at[1 + 2 * j : 3 + 2 * j], covariance).pdf(x) for j in range(2)]
        return np.log(weights @ np.array(parts)).sum()

    shared = own.covariances[0]
    at = np.array([own.weights[0], *own.means.ravel(), shared[0, 0], shared[0, 1], shared[1, 1]])
    size = np.array([0.03, 0.03, 0.5, 0.03, 0.5, 0.01, 0.1, 3.0])
    wanted = np.linalg.inv(-numerical_hessian(log_likelihood, at, 0.02 * size))
    result = fit.standard_errors(x)
    rows = result.table
    pick = rows.index[(rows["parameter"] != "correlations") & ~((rows["parameter"] != "means") & (rows["component"] == 1))]
    np.testing.assert_allclose(result.covariance[np.ix_(pick, pick)], wanted, rtol=1e-4)
    correlation = shared[0, 1] / np.sqrt(shared[0, 0] * shared[1, 1])
    slope = np.array(
        [-correlation / 2 / shared[0, 0], 1 / np.sqrt(shared[0, 0] * shared[1, 1]), -correlation / 2 / shared[1, 1]]
    )
    error = rows.loc[rows["parameter"] == "correlations", "standard_error"].to_numpy()
    np.testing.assert_allclose(error, np.sqrt(slope @ wanted[5:, 5:] @ slope), rtol=1e-4)


def test_poisson_rates_against_scipy(earthquakes):
    fit = jaxem.fit(earthquakes, "poisson", 2, tol=1e-9)
    counts = earthquakes.to_numpy().ravel()

    def log_likelihood(at):
        return np.log(at[0] * stats.poisson(at[1]).pmf(counts) + (1 - at[0]) * stats.poisson(at[2]).pmf(counts)).sum()

    at = np.array([fit.params.weights[0], *fit.params.rates.ravel()])
    wanted = np.sqrt(np.diag(np.linalg.inv(-numerical_hessian(log_likelihood, at, np.array([2e-3, 0.02, 0.04])))))
    errors = fit.standard_errors(earthquakes).params
    np.testing.assert_allclose([errors.weights[0], *errors.rates.ravel()], wanted, rtol=1e-4)


MCLUST = json.loads((REFERENCE / "mclust_bootstrap.json").read_text())


@pytest.mark.parametrize(
    ("case", "kind"), [("faithful_waiting_bs", "bootstrap"), ("faithful_waiting_wlbs", "weighted-bootstrap")]
)
def test_bootstrap_errors_are_those_of_mclust(x, case, kind):
    """999 replicates on both sides: each error is known to 2.2 %, their ratio to 3.2 %; three times that is allowed."""
    wanted = MCLUST[case]
    fit = jaxem.fit(x[:, 1], "V", 2)
    errors = fit.standard_errors(x[:, 1], kind)
    assert errors.num_failed == errors.num_unclear == 0
    np.testing.assert_allclose(errors.params.weights, wanted["se_pro"], rtol=0.1)
    np.testing.assert_allclose(errors.params.means[::-1], wanted["se_mean"], rtol=0.1)
    limits = errors.table[errors.table["parameter"] == "weights"]
    np.testing.assert_allclose(np.array(wanted["ci_pro"])[:, ::-1], limits[["lower", "upper"]].to_numpy().T, atol=0.01)


def test_unclear_alignments_are_counted(fitted, x):
    """EEE with three components on Old Faithful: a few replicates put the third elsewhere (mclust's weighted kind agrees)."""
    wanted, errors = MCLUST["faithful_EEE3_wlbs"], fitted.standard_errors(x, "weighted-bootstrap")
    order = np.argsort(wanted["pro"])[::-1]
    np.testing.assert_allclose(errors.params.weights, np.array(wanted["se_pro"])[order], rtol=0.1)
    np.testing.assert_allclose(errors.params.means, np.array(wanted["se_mean"])[order], rtol=0.1)
    assert 0 < errors.num_unclear < 150
    assert "had no clear counterpart" in errors.warnings[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "limit"), [("bootstrap", "sandwich"), ("parametric-bootstrap", "observed"), ("jackknife", "sandwich")]
)
def test_kinds_agree_where_theory_says_so(kind, limit):
    """Two components well apart: a kind estimates the same errors as the analytic one that assumes as much.

    2,000 replicates know an error to 1.6 %. On 20,000 rows all kinds agree (`experiments/uncertainty/agreement.json`); with 2,000 the
    sample's own fourth moments part what resamples rows from what trusts the model by 8 %.
    """
    rng = np.random.default_rng(8)
    data = np.where(rng.random(2000) < 0.4, rng.normal(0, 1, 2000), rng.normal(6, 1.5, 2000))
    fit = jaxem.fit(data, "V", 2, num_restarts=2, moves=False)
    wanted, errors = (fit.standard_errors(data, which, num_replicates=2000).params for which in (limit, kind))
    for name, array in wanted.asdict().items():
        np.testing.assert_allclose(getattr(errors, name), array, rtol=0.05)


def test_labels_are_brought_back(x, loose):
    """Replicates that begin with the components swapped give the same errors."""
    swapped = jaxem.fit(x, "VVV", 2, start=loose.params)
    turned = dataclasses.replace(swapped, params=swapped.params.take(np.array([1, 0])))
    one = swapped.standard_errors(x, "bootstrap", num_replicates=100)
    other = turned.standard_errors(x, "bootstrap", num_replicates=100)
    np.testing.assert_allclose(one.params.means, other.params.means[::-1], rtol=1e-3)
    resp = np.random.default_rng(0).dirichlet(np.full(4, 0.2), size=50).T
    order, clear = align(resp[[2, 0, 3, 1]], resp, np.ones(50))
    assert clear
    assert order.tolist() == [1, 3, 0, 2]


def test_integer_weights_are_repeated_rows(loose, x):
    weights = np.arange(len(x)) % 2 + 1
    fit = jaxem.fit(x, "VVV", 2, start=loose.params, weights=weights)
    once = fit.standard_errors(x, "sandwich", weights=weights)
    again = fit.standard_errors(np.repeat(x, weights, axis=0), "sandwich")
    np.testing.assert_allclose(once.covariance, again.covariance, rtol=1e-6, atol=1e-12)


def test_the_jackknife_leaves_out_one_of_the_repeated_rows():
    """Rows of weight 2 are 2 rows, and each of them is left out once: the same replicates, to the tolerance of a refit."""
    x, weights = np.r_[np.linspace(0, 1, 12) ** 2, 5 + np.linspace(0, 1, 12)], np.repeat([2, 1, 1, 2], 6)
    fit = jaxem.fit(x, "V", 2, start=np.eye(2)[np.repeat([0, 1], 12)], weights=weights, tol=1e-9)
    once = fit.standard_errors(x, "jackknife", weights=weights)
    again = fit.standard_errors(np.repeat(x, weights), "jackknife")
    np.testing.assert_allclose(once.covariance, again.covariance, rtol=1e-6, atol=1e-9)


def test_weights_that_are_not_whole_have_no_scale(loose, x):
    """To the sandwich and to what refits; to the observed information their sum is the number of rows, and a sentence says so."""
    half = np.full(len(x), 0.5)
    fit = jaxem.fit(x, "VVV", 2, start=loose.params, weights=half)
    for kind, factor in (("sandwich", 1), ("observed", 2)):
        errors, wanted = fit.standard_errors(x, kind, weights=half), loose.standard_errors(x, kind)
        np.testing.assert_allclose(errors.covariance, factor * wanted.covariance, rtol=1e-5, atol=1e-12)
        assert wanted.warnings == ()
        assert errors.warnings[0].startswith(f"The weights are not whole: to {kind} errors ")


def largest(jaxpr):
    """The size of the largest array that a program makes on its way."""
    inner = [getattr(value, "jaxpr", value) for equation in jaxpr.eqns for value in equation.params.values()]
    sizes = [made.aval.size for equation in jaxpr.eqns for made in equation.outvars]
    return max(sizes + [largest(some) for some in inner if hasattr(some, "eqns")], default=0)


def test_curvature_needs_no_more_room_than_it_is_given(monkeypatch, rng):
    """Every parameter by every other by all statistics would be 3 GB at twelve columns and four components."""
    monkeypatch.setattr(information, "BYTES", 2**10)
    x, k, p = rng.normal(size=(5, 40)), 3, 62
    with jax.enable_x64(True):
        model = Mixture(gaussian("VVV").bind(x, np.ones(40), np.eye(5), np.float64))
        start = MixtureParams(np.full(k, -np.log(k)), model.family.reference(k, 5, np.float64))
        data = Data(jnp.asarray(x), jnp.ones(40))
        program = jax.make_jaxpr(functools.partial(information.curvature, model, num_params=p))(start, data)
    assert largest(program.jaxpr) < p * p * k * (1 + 5 + 5 * 5) / 2


def test_the_table_has_the_columns_names(loose, faithful):
    fit = jaxem.fit(faithful, "VVV", 2, start=loose.params)
    table = fit.standard_errors(faithful, level=0.9).table
    assert list(table) == ["parameter", "component", "columns", "estimate", "standard_error", "lower", "upper"]
    assert set(table.loc[table["parameter"] == "means", "columns"]) == {"eruptions", "waiting"}
    assert ((table["lower"] < table["estimate"]) & (table["estimate"] < table["upper"])).all()
    lines = str(fit.standard_errors(faithful, level=0.9)).splitlines()
    assert lines[0] == "Standard errors (observed) and 90 % intervals"
    assert lines[1].split() == list(table)
    assert len(lines) == 2 + len(table)
    wide = fit.standard_errors(faithful).intervals(0.99)
    assert (wide["lower"] < table["lower"]).all()
    assert (wide.loc[wide["parameter"] == "weights", ["lower", "upper"]].to_numpy() < 1).all()


def test_a_singular_information_is_a_sentence(x):
    """Two components in one place: neither has a weight or a mean of its own."""
    one = jaxem.fit(x, "VVV", 1)
    twice = {name: np.repeat(array, 2, axis=0) for name, array in one.params.asdict().items()}
    fit = jaxem.fit(x, "VVV", 2, start=jaxem.Params(**twice | {"weights": [0.5, 0.5]}))
    with pytest.raises(RuntimeError, match="information matrix of VVV with K = 2"):
        fit.standard_errors(x)


def test_bad_arguments_are_named(loose, x):
    with pytest.raises(ValueError, match="kind must be one of 'observed'"):
        loose.standard_errors(x, "wishful")
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        loose.standard_errors(x, level=95)
    with pytest.raises(ValueError, match="the fit has 2 columns"):
        loose.standard_errors(x[:, :1])


def test_columns_may_have_any_name(x, fitted):
    """A comma in a name makes a variance no covariance: its interval stays in logarithms."""
    table = pd.DataFrame(x, columns=["height, cm", "weight, kg"])
    got = jaxem.fit(table, "EEE", 3, start=fitted.params).standard_errors(table).table
    wanted = jaxem.fit(x, "EEE", 3, start=fitted.params).standard_errors(x).table
    np.testing.assert_allclose(got[["lower", "upper"]], wanted[["lower", "upper"]])
    assert (got["columns"] == "height, cm, height, cm").any()
