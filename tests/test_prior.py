"""Priors: the density that is maximised, what does not degenerate any more, and what is refused."""

from __future__ import annotations

import json
import re

import jax
import numpy as np
import pytest
from cases import K, normal
from helpers import new_programs
from scipy import stats
from test_bad_input import X, refused

import jaxem
from jaxem import Prior
from jaxem.models.mixture import Mixture


DOF, SCALE = 7.5, np.array([[2.0, 0.3, 0.1], [0.3, 4.0, 0.0], [0.1, 0.0, 1.0]])
MEAN, SHRINKAGE = np.array([9.0, -3.0, 0.0]), 0.7


def log_prior(code, params):
    """The prior's density in the data's units, by SciPy, up to a constant."""
    weights, means, covariances = (params[name] for name in ("weights", "means", "covariances"))
    total = (1.5 - 1) * np.log(weights).sum()
    total += sum(stats.multivariate_normal(MEAN, c / SHRINKAGE).logpdf(m) for m, c in zip(means, covariances, strict=True))
    own = covariances[:1] if code in ("EII", "EEI", "EEE") else covariances
    for covariance in own:
        if code[2] != "I":
            total += stats.invwishart(DOF, SCALE).logpdf(covariance)
        else:
            scales, variances = np.diag(SCALE), np.diag(covariance)
            if code[1] == "I":
                scales, variances = np.array([scales.mean()]), variances[:1]
            total += stats.invgamma(DOF / 2, scale=scales / 2).logpdf(variances).sum()
    return total


@pytest.mark.parametrize("code", ["EII", "VII", "EEI", "VVI", "VEI", "EEE", "VVV", "EVV", "VVE"])
def test_log_prior_is_scipys(code, rng):
    case = normal(code, 3)
    prior = Prior(SHRINKAGE, DOF, SCALE, MEAN, concentration=1.5)
    with jax.enable_x64(True):
        family, _ = case.family.with_prior(prior, K, case.centre, case.scale, case.weight.sum())
        model = Mixture(family, concentration=np.float64(1.5))
        points = [case.params(rng) for _ in range(3)]
        got = [float(model.log_prior(params)) for _, params in points]
    wanted = [log_prior(code, published) for published, _ in points]
    np.testing.assert_allclose(np.diff(got), np.diff(wanted), rtol=1e-9)


def test_default_is_fraley_and_rafterys(x):
    """Shrinkage 0.01, the data's mean, d + 2 degrees of freedom, and the data's covariance or mean variance over K^(2/d)."""
    told = jaxem.fit(x, "VVV", 3, prior="fraley-raftery", num_restarts=1, moves=False).terms["prior"]
    assert (told["shrinkage"], told["dof"], told["concentration"], told["floor"]) == (0.01, 4.0, 1.0, None)
    np.testing.assert_allclose(told["mean"], x.mean(0))
    np.testing.assert_allclose(told["scale"], np.cov(x.T) / 3, rtol=1e-12)
    told = jaxem.fit(x, "VII", 3, prior=Prior(), num_restarts=1, moves=False).terms["prior"]
    np.testing.assert_allclose(told["scale"], x.var(0, ddof=1).mean() / 3, rtol=1e-12)


def test_uneven_columns_are_named(x):
    """One prior variance for minutes of eruption and of waiting is wrong for both; each may have its own."""
    short = {"num_restarts": 1, "moves": False}
    (said,) = jaxem.fit(x, "VVI", 2, prior="fraley-raftery", **short).warnings
    assert re.match(
        r"The default prior has one variance for all columns of VVI .* differ by a factor of 142: .*Prior\(scale", said
    )
    for family, prior in (("VVI", Prior(scale=x.var(0) / 2)), ("VVV", "fraley-raftery"), ("VII", Prior())):
        assert jaxem.fit(x, family, 2, prior=prior, **short).warnings == ()


def test_units_change_nothing(x, resp):
    """Numbers given in other units are the same prior, and a full covariance follows every linear map."""
    told = {"shrinkage": 2.0, "dof": 5.0, "concentration": 2.0}
    unit = np.array([1e-3, 40.0])
    here = jaxem.fit(x, "VVI", 3, start=resp, prior=Prior(scale=[0.2, 30.0], mean=[3.0, 60.0], **told))
    there = jaxem.fit(x * unit, "VVI", 3, start=resp, prior=Prior(scale=[0.2, 30.0] * unit**2, mean=[3.0, 60.0] * unit, **told))
    np.testing.assert_allclose(there.params.means / unit, here.params.means, rtol=1e-7)
    np.testing.assert_allclose(np.diff(there.history), np.diff(here.history), atol=1e-8)
    turn = np.array([[2.0, 1.0], [-30.0, 0.5]])
    here, there = (jaxem.fit(rows, "VVV", 3, start=resp, prior=Prior(**told), tol=1e-9) for rows in (x, x @ turn))
    np.testing.assert_allclose(there.params.means, here.params.means @ turn, rtol=1e-6)
    np.testing.assert_allclose(there.params.covariances, turn.T @ here.params.covariances @ turn, rtol=1e-5)


def test_weights_are_the_mode(x, resp):
    fit = jaxem.fit(x, "EEE", 3, start=resp, prior=Prior(concentration=11.0), tol=1e-9)
    counts = fit.predict_proba(x).sum(0)
    np.testing.assert_allclose(fit.params.weights, (counts + 10) / (len(x) + 30), rtol=1e-6)


def test_weight_of_the_noise_is_the_mode(x, resp):
    fit = jaxem.fit(x, "EEE", 3, start=0.9 * resp, noise=True, prior=Prior(concentration=11.0), tol=1e-9)
    counts = fit.predict_proba(x).sum(0)
    wanted = (counts + 10) / (len(x) + 40)
    np.testing.assert_allclose([*fit.params.weights, fit.noise_weight], wanted, rtol=1e-5)


def test_no_component_is_below_the_floor(x):
    """Relative to the data in every direction: without it three of these would be."""
    size = np.cov(x.T)
    free, held = (jaxem.fit(x, "VVV", 6, num_restarts=5, prior=p) for p in (None, Prior(shrinkage=0, scale=0, floor=0.05)))
    narrowest = [np.linalg.eigvals(np.linalg.solve(size, fit.params.covariances)).real.min() for fit in (free, held)]
    assert narrowest[0] < 0.04
    assert narrowest[1] == pytest.approx(0.05, rel=1e-9)
    assert held.log_likelihood < free.log_likelihood


@pytest.mark.slow
def test_what_degenerates_without_it_does_not(rng):
    """Six components on thirty rows; more columns than rows."""
    rows = rng.normal(size=(30, 3))
    wide = rng.normal(size=(5, 6))
    options = {"num_restarts": 4, "moves": False}
    for data, family, k, told in (
        (rows, "VVV", 6, "a component shrank onto"),
        (wide, "EEE", 2, "There are 5 rows for 6 columns: "),
    ):
        refused(jaxem.fit, RuntimeError, rf"^all 4 runs failed: {told}", data, family, k, **options)
        held = jaxem.fit(data, family, k, prior="fraley-raftery", **options)
        assert held.converged
        assert not held.spurious
        assert held.num_failed == 0


def test_objective_never_falls_and_ranks_runs(x):
    fit = jaxem.fit(x, "VVV", 4, prior="fraley-raftery", num_restarts=6)
    assert (np.diff(fit.history) >= -1e-9 * abs(fit.history[-1])).all()
    other = jaxem.fit(x, "VVV", 4, prior="fraley-raftery", num_restarts=1, moves=False)
    assert fit.history[-1] >= other.history[-1] - 0.01


def test_numbers_are_traced_and_kept(x, tmp_path):
    """Other hyperparameters need no other program, and the fit says which they were."""
    options = {"num_restarts": 2, "moves": False, "prior": Prior(0.2, 9.0, 3.0)}
    first = jaxem.fit(x, "VVV", 2, **options)
    with new_programs() as counts:
        second = jaxem.fit(x, "VVV", 2, **(options | {"prior": Prior(0.3, mean=[3.0, 70.0], concentration=2.0)}))
    assert not any(counts.values())
    assert second.log_likelihood != first.log_likelihood
    first.save(tmp_path / "fit.npz")
    assert jaxem.load(tmp_path / "fit.npz").terms == first.terms
    selection = jaxem.select(x, ["VVV", "VII"], [2], **options)
    assert json.loads(selection.to_json())["settings"]["prior"]["dof"] == 9.0
    assert selection["VVV", 2].terms == first.terms


def test_constant_columns_leave_the_prior(x, resp):
    wide = np.column_stack([x[:, 0], np.ones(len(x)), x[:, 1]])
    here = jaxem.fit(x, "VVV", 3, start=resp, prior=Prior(scale=[0.3, 30.0], mean=[3.0, 60.0]))
    there = jaxem.fit(wide, "VVV", 3, start=resp, prior=Prior(scale=np.diag([0.3, 9.0, 30.0]), mean=[3.0, 1.0, 60.0]))
    assert there.log_likelihood == pytest.approx(here.log_likelihood, rel=1e-14)


BAD = {
    "word": ("fraley", ValueError, r"^prior must be None, 'fraley-raftery' or a jaxem\.Prior, got 'fraley'$"),
    "yes": (True, ValueError, r"^prior must be None, .*, got True$"),
    "dof": (lambda: Prior(dof=1.0), ValueError, r"^prior: dof must be above 1 for 2 columns and structure VVV, got 1$"),
    "dof < 0": (lambda: Prior(dof=-1), ValueError, r"^prior: dof must be above 0, got -1$"),
    "dof text": (lambda: Prior(dof="4"), TypeError, r"^prior: dof must be a number, got '4'$"),
    "shrinkage": (lambda: Prior(shrinkage=-0.1), ValueError, r"^prior: shrinkage must be at least 0, got -0\.1$"),
    "no shrinkage": (lambda: Prior(shrinkage=None), TypeError, r"^prior: shrinkage must be a number, got None$"),
    "shrinkage nan": (lambda: Prior(shrinkage=np.nan), ValueError, r"^prior: shrinkage must be at least 0, got nan$"),
    "concentration": (lambda: Prior(concentration=0.5), ValueError, r"^prior: concentration must be at least 1, got 0\.5$"),
    "floor": (lambda: Prior(floor=0), ValueError, r"^prior: floor must be above 0, got 0$"),
    "high floor": (lambda: Prior(floor=2), ValueError, r"^prior: floor is a share of the data's variance, below 1, got 2$"),
    "mean": (lambda: Prior(mean=[1.0]), ValueError, r"^prior: mean must have shape \(2,\) for .* 2 columns, got shape \(1,\)$"),
    "mean flat": (lambda: Prior(mean=1.0), ValueError, r"^prior: mean must have shape \(d,\), got shape \(\)$"),
    "mean nan": (lambda: Prior(mean=[np.nan, 1]), ValueError, r"^prior: mean must be finite$"),
    "mean text": (lambda: Prior(mean="here"), TypeError, r"^prior: mean must hold numbers, got 'here'$"),
    "scale": (
        lambda: Prior(scale=np.eye(3)),
        ValueError,
        r"^prior: scale must have shape \(\), \(2,\) or \(2, 2\) .* \(3, 3\)$",
    ),
    "scale oblong": (lambda: Prior(scale=np.ones((2, 3))), ValueError, r"^prior: scale must be a number, .* shape \(2, 3\)$"),
    "scale < 0": (lambda: Prior(scale=-1.0), ValueError, r"^prior: scale must be positive, got -1\.0$"),
    "indefinite": (lambda: Prior(scale=[[1, 2], [2, 1]]), ValueError, r"^prior: scale must be symmetric positive definite"),
    "dof alone": (lambda: Prior(scale=0, dof=4), ValueError, r"^prior: scale=0 means no prior .* dof must be None, got 4$"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name):
    prior, error, message = BAD[name]

    def call():
        return jaxem.fit(X, "VVV", 2, prior=prior() if callable(prior) else prior)

    refused(call, error, message)


def test_what_does_not_go_together(earthquakes):
    refused(jaxem.fit, ValueError, r"^prior: floor is for VVV, .*; EVV has none: ", X, "EVV", 2, prior=Prior(floor=0.1))
    refused(jaxem.fit, ValueError, r"^prior: the family 'poisson' knows none", earthquakes, "poisson", 2, prior=Prior())
    both = {"prior": Prior(concentration=2.0), "equal_weights": True}
    refused(
        jaxem.fit,
        ValueError,
        r"^prior: concentration bears on the weights, which equal_weights=True fixes",
        X,
        "VVV",
        2,
        **both,
    )
