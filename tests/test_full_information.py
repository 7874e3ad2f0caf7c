"""Missing cells from outside: what a user may expect of fits, selections, errors and imputations where NaN stands in the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import agree, matching
from scipy import stats

import jaxem
from jaxem import _parts, rowwise
from jaxem.families import gaussian
from jaxem.options import Options
from jaxem.problem import Problem
from jaxem.protocol import Data
from jaxem.tabular import read


QUICK = {"num_restarts": 3, "moves": False}
EXACT = QUICK | {"tol": 1e-9, "max_steps": 20_000}


@pytest.fixture(scope="module")
def holed(x):
    """Old Faithful without 15 % of its cells, five rows without any."""
    gone = np.random.default_rng(0).random(x.shape) < 0.15
    gone[:5] = True
    return np.where(gone, np.nan, x)


@pytest.fixture(scope="module")
def fit(holed):
    return jaxem.fit(holed, "VVV", 2, **EXACT)


def marginals(fit, x):
    """log p(component, cells that are there) by SciPy, shape (n, k)."""
    out = np.zeros((len(x), fit.num_components)) + np.log(fit.params.weights)
    for row, cells in enumerate(x):
        seen = ~np.isnan(cells)
        for k in range(fit.num_components if seen.any() else 0):
            law = stats.multivariate_normal(fit.params.means[k, seen], fit.params.covariances[k][np.ix_(seen, seen)])
            out[row, k] += law.logpdf(cells[seen])
    return out


def test_complete_data_take_the_way_they_took(x):
    with jaxem._precision.precision(np.float64):
        problem = Problem(read(x, missing=True), [gaussian("VVV")], [2], Options.once())
    assert isinstance(problem.engine.data, Data)


def test_densities_and_probabilities_are_those_of_the_cells_that_are_there(fit, holed):
    joint = marginals(fit, holed)
    agree(fit.log_prob(holed), np.logaddexp.reduce(joint, axis=1), atol=1e-12)
    agree(fit.predict_proba(holed), np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]), atol=1e-12)
    assert fit.log_likelihood == pytest.approx(fit.log_prob(holed).sum(), rel=1e-12)
    agree(fit.predict_proba(holed[:1])[0], fit.params.weights)


def test_rows_without_a_cell_have_no_say_and_are_reported(fit, holed):
    without = jaxem.fit(holed[5:], "VVV", 2, **EXACT)
    agree(fit.params.asdict(), without.params.asdict(), 1e-6, 1e-6)
    assert fit.log_likelihood == pytest.approx(without.log_likelihood, abs=1e-8)
    assert (fit.num_rows, fit.bic) == (without.num_rows, pytest.approx(without.bic))
    empty = int(np.isnan(holed).all(1).sum())
    assert f"{empty} rows have no cell that is not missing, and no say in the fit." in fit.warnings
    assert (
        f"{np.isnan(holed).sum()} of {holed.size} cells are missing: taken to be missing at random, given what is there."
        in (fit.warnings)
    )


def test_one_component_has_several_optima_where_cells_are_missing():
    """Murray's 12 rows (1977, discussion of Dempster, Laird & Rubin, JRSS-B 39): correlations of ±1/2, and a saddle at 0 between."""
    gone = np.nan
    x = [[1, 1], [1, -1], [-1, 1], [-1, -1], *2 * [[2, gone]], *2 * [[-2, gone]], *2 * [[gone, 2]], *2 * [[gone, -2]]]
    found = jaxem.fit(x, "VVV", 1)
    covariance = found.params.covariances[0]
    np.testing.assert_allclose([covariance[0, 0], abs(covariance[0, 1])], [8 / 3, 4 / 3], rtol=1e-3)
    assert not found.closed
    assert found.log_likelihood > jaxem.fit(x, "VVV", 1, start=np.ones((12, 1))).log_likelihood + 0.05


@pytest.mark.parametrize("structure", ["VVV", "VVI", "EVE"])
def test_what_must_make_no_difference(structure, holed):
    """Order of rows and, where the structure follows the data, units of columns; whole weights are repeated rows."""
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(holed))
    scale, shift = (np.array([0.01, 30.0]), np.array([5.0, -1e3])) if structure != "EVE" else (2.0, 7.0)
    start = np.eye(2)[(np.nan_to_num(holed[:, 1], nan=70) > 68).astype(int)] * 0.9 + 0.05
    options = {"tol": 1e-9, "max_steps": 20_000}
    wanted = jaxem.fit(holed, structure, 2, start=start, **options)
    moved = jaxem.fit(holed[rows] * scale + shift, structure, 2, start=start[rows], **options)
    agree(moved.params.means, wanted.params.means * scale + shift, 1e-5, 1e-5)
    agree(moved.params.covariances / np.outer(scale, scale) / np.ones((2, 2)), wanted.params.covariances, 1e-4, 1e-5)
    lost = (~np.isnan(holed)).sum(0) @ np.log(scale * np.ones(2))
    assert moved.log_likelihood == pytest.approx(wanted.log_likelihood - lost, abs=1e-6)
    weight = rng.integers(0, 3, len(holed)).astype(float)
    again = np.repeat(np.arange(len(holed)), weight.astype(int))
    heavy = jaxem.fit(holed, structure, 2, start=start, weights=weight, **options)
    repeated = jaxem.fit(holed[again], structure, 2, start=start[again], **options)
    assert heavy.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-6)
    assert heavy.num_rows == repeated.num_rows
    agree(heavy.params.means, repeated.params.means, 1e-4, 1e-4)


def test_no_bias_where_complete_rows_are_biased():
    """Missing at random: the second column is lost more often where the first is large. Complete rows mislead; all rows do not."""
    rng = np.random.default_rng(3)
    n, means = 4000, np.array([[0.0, 0.0], [6.0, -3.0]])
    labels = rng.random(n) < 0.4
    x = means[labels.astype(int)] + rng.normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    chance = 0.95 / (1 + np.exp(-2 * (x[:, 0] - means[labels.astype(int), 0])))  # within each group
    x[rng.random(n) < chance, 1] = np.nan
    fit = jaxem.fit(x, "EEE", 2, **QUICK)
    naive = jaxem.fit(x[~np.isnan(x).any(1)], "EEE", 2, **QUICK)
    ours, theirs = (one.params.means[matching(one.params.means, means)] for one in (fit, naive))
    assert (np.abs(ours - means) < 0.1).all()
    assert (np.abs(fit.params.covariances - [[1, 0.8], [0.8, 1.0]]) < 0.1).all()
    assert (means[:, 1] - theirs[:, 1] > 0.2).all()


def test_every_structure_is_selected_from(holed):
    selection = jaxem.select(holed, "gaussian", range(1, 4), num_restarts=2, moves=False)
    table = selection.table.set_index(["family", "num_components"])
    assert len(table) == 42
    assert table["log_likelihood"].notna().all()
    assert table["nec"].notna().any()
    for key, one in selection.fits.items():
        assert one.log_prob(holed).sum() == pytest.approx(one.log_likelihood, abs=1e-6), key
    wider = {"VVV": ("EEE", "VVI", "EVE", "VVE", "EEV", "VEV", "EVV", "VEE"), "EEE": ("EEI", "EII")}
    for full, parts in wider.items():
        assert all(table.loc[(full, 1), "log_likelihood"] > table.loc[(part, 1), "log_likelihood"] - 1e-3 for part in parts)
    assert selection.best.num_components in (2, 3)


@pytest.mark.slow
def test_errors_are_those_of_the_curvature(holed):
    """One Gaussian: the information by differences of SciPy's log-likelihood in its five parameters."""
    fit = jaxem.fit(holed, "VVV", 1, **EXACT)
    scale = np.sqrt(np.diag(fit.params.covariances[0]))
    lower = np.tril_indices(2)

    def log_likelihood(theta):
        covariance = np.zeros((2, 2))
        covariance[lower] = theta[2:]
        covariance = covariance + np.tril(covariance, -1).T
        laws = [stats.multivariate_normal(theta[seen], covariance[np.ix_(seen, seen)]) for seen in ([0], [1], [0, 1])]
        there = ~np.isnan(holed)
        parts = [there == np.isin(range(2), seen) for seen in ([0], [1], [0, 1])]
        return sum(
            law.logpdf(holed[part.all(1)][:, seen]).sum()
            for law, part, seen in zip(laws, parts, ([0], [1], [0, 1]), strict=True)
        )

    theta = np.concatenate([fit.params.means[0], fit.params.covariances[0][lower]])
    step = 1e-3 * np.concatenate([scale, np.outer(scale, scale)[lower]])

    def second(i, j):
        signs = [(a, b) for a in (1, -1) for b in (1, -1)]
        moves = [a * step * (np.arange(5) == i) + b * step * (np.arange(5) == j) for a, b in signs]
        return sum(a * b * log_likelihood(theta + move) for (a, b), move in zip(signs, moves, strict=True)) / (
            4 * step[i] * step[j]
        )

    information = -np.array([[second(i, j) for j in range(5)] for i in range(5)])
    wanted = np.sqrt(np.diag(np.linalg.inv(information)))
    errors = fit.standard_errors(holed).params
    agree(np.concatenate([errors.means[0], errors.covariances[0][lower]]), wanted, 5e-4, 0)


@pytest.mark.slow
def test_replicates_agree_with_the_curvature(fit, holed):
    wanted = fit.standard_errors(holed).params.means
    for kind in ("bootstrap", "parametric-bootstrap"):
        got = fit.standard_errors(holed, kind, num_replicates=200).params.means
        assert (np.abs(got / wanted - 1) < 0.25).all(), kind


@pytest.mark.slow
def test_resampling_a_selection(holed):
    selection = jaxem.select(holed, ["EEE", "VVV"], range(1, 3), **QUICK)
    scores = selection.cross_validate(holed, 3, num_restarts=1)
    assert scores.best[1] == 2
    assert scores.table["log_likelihood"].max() == pytest.approx(selection.best.log_likelihood / len(holed), rel=0.05)
    assert selection.stability(holed, 4, num_restarts=1).share_of_num_components == 1
    test = jaxem.selection.bootstrap_lrt(holed, "EEE", 1, num_replicates=9, num_restarts=2)
    assert test.p_value == pytest.approx(0.1)


def test_impute(fit, holed, x):
    gone = np.isnan(holed)
    means = fit.impute(holed)
    agree(means[~gone], holed[~gone])
    resp = np.exp(marginals(fit, holed))
    resp /= resp.sum(1, keepdims=True)
    row = np.flatnonzero(gone[:, 0] & ~gone[:, 1])[0]
    slope = fit.params.covariances[:, 0, 1] / fit.params.covariances[:, 1, 1]
    wanted = resp[row] @ (fit.params.means[:, 0] + slope * (holed[row, 1] - fit.params.means[:, 1]))
    assert means[row, 0] == pytest.approx(wanted)
    agree(means[0], fit.params.weights @ fit.params.means)
    some = pd.DataFrame(holed[:8], columns=["x1", "x2"])[["x2", "x1"]]
    agree(fit.impute(some), means[:8])
    assert np.abs(means - x)[gone[:, 0], 0].mean() < 0.8 * np.abs(x.mean(0) - x)[gone[:, 0], 0].mean()


def test_impute_works_on_a_few_incomplete_rows_at_once(fit, holed, monkeypatch):
    """One row filled in under every component takes k times its room: complete rows are not, and others not all together."""
    seen = []

    def recorded(rows, *more):
        seen.append(len(rows))
        return on_device(rows, *more)

    wanted, on_device = fit.impute(holed), rowwise._on_device
    monkeypatch.setattr(rowwise, "parts", lambda num_rows: _parts.parts(num_rows, 32))
    monkeypatch.setattr(rowwise, "_on_device", recorded)
    agree(fit.impute(holed), wanted)
    several = fit.impute(holed, num_draws=2)
    assert max(seen) == 32
    gone = np.isnan(holed)
    assert np.isfinite(several).all()
    assert (several[0] != several[1])[gone].all()
    agree(fit.impute(holed, num_draws=1), several[:1])
    seen.clear()
    agree(fit.impute(wanted, num_draws=2), np.stack([wanted, wanted]))
    assert not seen


def test_draws_have_the_moments(fit, holed):
    gone = np.isnan(holed)
    draws = fit.impute(holed, num_draws=400, seed=1)
    assert draws.shape == (400, *holed.shape)
    agree(draws[:, ~gone], np.broadcast_to(holed[~gone], (400, (~gone).sum())))
    spread = draws.std(0)[gone]
    assert (np.abs(draws.mean(0) - fit.impute(holed))[gone] < 5 * spread / 20).all()
    whole = fit.params.weights @ (fit.params.means**2 + np.diagonal(fit.params.covariances, axis1=1, axis2=2))
    wanted = np.sqrt(whole - (fit.params.weights @ fit.params.means) ** 2)
    agree(draws[:, :5].reshape(-1, 2).std(0), wanted, 0.06, 0)  # rows of which nothing is known vary as the mixture does
    agree(draws, fit.impute(holed, num_draws=400, seed=1))
    assert (draws[0] != fit.impute(holed, num_draws=1, seed=2)[0])[gone].all()


@pytest.mark.slow
def test_noise_labels_and_float32(fit, holed, x):
    noisy = jaxem.fit(np.vstack([holed, [[20.0, np.nan], [np.nan, 300.0], [15.0, 250.0]]]), "VVV", 2, noise=True, **QUICK)
    assert (noisy.predict([[20.0, np.nan], [np.nan, 300.0], [15.0, 250.0]]) == -1).all()
    filled = noisy.impute([[20.0, np.nan], [np.nan, 80.0]])
    assert np.isfinite(filled).all()
    known = np.where(x[:, 1] > 75, 0, np.where(x[:, 1] < 60, 1, -1))
    labelled = jaxem.fit(holed, "VVV", 2, labels=known, **QUICK)
    agree(labelled.params.means, fit.params.means[matching(fit.params.means, labelled.params.means)], 0.05, 0)
    single = jaxem.fit(holed, "VVV", 2, dtype="float32", **QUICK)
    assert single.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-3)


def test_counts():
    rng = np.random.default_rng(0)
    x = rng.poisson(np.repeat([[2.0, 9.0], [8.0, 3.0]], 150, axis=0)).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    fit = jaxem.fit(x, "poisson", 2, **QUICK)
    joint = np.log(fit.params.weights) + sum(
        np.nan_to_num(stats.poisson(fit.params.rates[:, j]).logpmf(x[:, [j]])) for j in range(2)
    )
    assert fit.log_likelihood == pytest.approx(np.logaddexp.reduce(joint, axis=1).sum())
    agree(np.sort(fit.params.rates[:, 0]), np.array([2.0, 8.0]), 0.15, 0)
    drawn = fit.impute(x, num_draws=2)
    assert (drawn == np.round(drawn)).all()


def test_what_cannot_be_told_is_said(holed):
    apart = np.where(np.arange(len(holed))[:, None] % 2 == np.arange(2), np.nan, np.nan_to_num(holed, nan=1.0))
    said = jaxem.fit(apart, "VVI", 1).warnings
    assert "Columns 'x1' and 'x2' are never seen in the same row: nothing tells how they are correlated." in said
    one = holed.copy()
    one[1:, 0] = np.nan
    one[0] = 3.0
    assert "Column 'x1' is constant and was left out." in jaxem.fit(one, "VVV", 1).warnings
    with pytest.raises(ValueError, match=r"^num_components is 5, but the data have only 4 distinct rows$"):
        jaxem.fit([[1.0, np.nan], [3.0, np.nan], [np.nan, 2.0], [np.nan, 5.0]] * 3, "VVV", 5)


def test_pictures_show_what_is_there(fit, holed):
    both = (~np.isnan(holed)).all(1)
    ax = jaxem.plot.clusters(fit, holed)
    drawn = np.concatenate([np.asarray(part.get_offsets().compressed()).reshape(-1, 2) for part in ax.collections])
    assert len(drawn) == both.sum()
    for picture in (jaxem.plot.uncertainty, jaxem.plot.responsibilities, jaxem.plot.pairs):
        picture(fit, holed)
    jaxem.plot.clusters(jaxem.fit(holed[:, 1], "V", 2, **QUICK), holed[:, 1])
