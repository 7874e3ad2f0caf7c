"""Criteria: their definitions on real responsibilities, the slope heuristic and the singular BIC against their own equations."""

from __future__ import annotations

import numpy as np
import pytest

import jaxem
from jaxem import criteria
from jaxem.selection import singular_bic, slope_heuristic


def test_every_criterion_has_its_definition(fitted, x):
    """Each formula written out once more, on responsibilities."""
    n, p, two_l = len(x), fitted.num_params, 2 * fitted.log_prob(x).sum()
    resp = fitted.predict_proba(x)
    entropy = -(resp * np.log(resp, where=resp > 0, out=np.zeros_like(resp))).sum()
    own = np.log(resp.max(1)).sum()
    one = jaxem.fit(x, "EEE", 1).log_likelihood
    wanted = {
        "aic": 2 * p - two_l,
        "aicc": 2 * p - two_l + 2 * p * (p + 1) / (n - p - 1),
        "bic": p * np.log(n) - two_l,
        "caic": p * (np.log(n) + 1) - two_l,
        "sabic": p * np.log((n + 2) / 24) - two_l,
        "hqic": 2 * p * np.log(np.log(n)) - two_l,
        "icl": p * np.log(n) - two_l - 2 * own,
        "clc": 2 * entropy - two_l,
        "nec": entropy / (two_l / 2 - one),
        "relative_entropy": 1 - entropy / (n * np.log(3)),
    }
    for name, value in wanted.items():
        assert getattr(fitted, name) == pytest.approx(value, rel=1e-8), name
    assert np.isnan(fitted.slope)
    assert np.isnan(fitted.sbic)


def test_one_component_is_the_unit_of_the_normalised_entropy(selection):
    assert selection["EEE", 1].nec == selection["EEE", 1].relative_entropy == 1.0
    assert selection["VVV", 2].log_likelihood_of_one == pytest.approx(selection["VVV", 1].log_likelihood, abs=1e-6)


@pytest.mark.parametrize("name", criteria.NAMES)
def test_every_criterion_can_choose(selection, name):
    best = selection.best_by(name)
    assert getattr(best, name) == min(getattr(fit, name) for fit in selection.ranking())
    assert selection.table[name].min() == getattr(best, name)


def test_weights_are_shares_of_the_evidence(selection):
    table = selection.table
    for weight, name in (("schwarz_weight", "bic"), ("akaike_weight", "aic")):
        gap = table[name] - table[name].min()
        np.testing.assert_allclose(table[weight], np.exp(-gap / 2) / np.exp(-gap / 2).sum(), atol=1e-12)


@pytest.mark.parametrize("dirichlet", [np.inf, 0.5])
def test_singular_bic_solves_its_equation(dirichlet):
    """L_j Σ L_i = Σ L'_ij L_i over i ≤ j, in plain numbers, given in any order."""
    order = [2, 0, 3, 1]
    log_likelihood, p, k, n = np.array([-12.0, -10.0, -9.0, -8.8]), np.array([2, 5, 8, 11]), np.arange(1, 5), 50
    values = singular_bic(log_likelihood[order], p[order], k[order], n, dirichlet=dirichlet)
    marginal = np.exp(values[np.argsort(order)] / -2)
    for j in range(4):
        lost = np.minimum(dirichlet * (j - np.arange(j)), (p[j] - p[:j] - (j - np.arange(j))) / 2)
        each = np.exp(log_likelihood[j]) * n ** (-np.append(p[:j] + lost, p[j]) / 2)
        assert marginal[j] * marginal[: j + 1].sum() == pytest.approx(each @ marginal[: j + 1], rel=1e-9)


def test_singular_bic_is_that_of_the_authors():
    """Numbers printed by R's sBIC 0.2.0 (Drton & Plummer's package; its vignette "Introduction to sBIC", full covariances, d = 2).

    It counts two entries a row, so n = 350, and takes (r + 1)/2 = 3 for each superfluous component.
    """
    height = [-732.9610, -697.5850, -683.9564, -676.2722, -668.5807, -661.2474, -653.9223, -646.2799]
    printed = [-747.6058, -729.8036, -727.4262, -728.7474, -729.9027, -731.3697, -732.8346, -733.9800]
    k = np.arange(1, 9)
    learning = (6 * k - 1 + 3 * (k[:, None] - k)) / 2
    values = singular_bic(height, 6 * k - 1, k, 350, learning=learning)
    np.testing.assert_allclose(values / -2, printed, rtol=0, atol=2e-4)


def test_singular_bic_asks_for_all_learning_coefficients():
    with pytest.raises(ValueError, match="learning must have a row and a column for each of the 2 fits"):
        singular_bic([-2.0, -1.0], [2, 5], [1, 2], 10, learning=[1.0, 2.0])


def test_singular_bic_is_bic_for_one_component_and_charges_less_beyond(selection):
    for k in (1, 2, 3, 4):
        fit = selection["EEE", k]
        assert fit.sbic == pytest.approx(fit.bic) if k == 1 else fit.sbic <= fit.bic + 1e-9


def test_singular_bic_asks_for_every_smaller_number(x):
    """It is a mean over all truths that a model may overfit."""
    search = {"num_restarts": 2, "moves": False}
    table = jaxem.select(x, "EEE", [1, 2, 4], **search).table
    assert np.isfinite(table["sbic"]).tolist() == [True, True, False]
    alone = jaxem.select(x, "EEE", [2], criterion="sbic", **search)
    assert alone.table["sbic"].isna().all()
    assert "sound fits of every number of components from 1 on" in alone.warnings[-1]


def test_singular_bic_survives_large_numbers():
    assert np.isfinite(singular_bic([-1e5, -5e4, -4.9e4], [2, 5, 8], [1, 2, 3], 10**6)).all()
    large = singular_bic([-3.04e7, -2.97e7, -2.9299e7], [44, 89, 134], [1, 2, 3], 2e6)
    np.testing.assert_allclose(large, [6.08e7 + 638, 5.94e7 + 1291, 5.8598e7 + 1944], rtol=1e-7)


def test_slope_of_noise_is_found(rng):
    """The log-likelihood climbs by 0.5 nats a parameter beyond the truth, as overfitting does."""
    p = np.arange(2, 62, 3)
    height = np.where(p < 14, -80.0 * (14 - p), 0.5 * (p - 14)) + rng.normal(scale=0.2, size=len(p))
    found = slope_heuristic(height, p)
    assert found.steepness == pytest.approx(0.5, abs=0.1)
    assert p[found.chosen] == p[found.chosen_by_jump] == 14


def test_slope_asks_for_enough_models():
    found = slope_heuristic([-10.0, -5.0, -4.0], [1, 2, 3])
    assert found.steepness is None
    assert found.chosen is None


def test_an_unknown_slope_is_said_so(faithful):
    few = jaxem.select(faithful, "EEE", range(1, 3), criterion="slope", num_restarts=2, moves=False)
    with pytest.raises(RuntimeError, match="'slope' is not known for any fit: it needs six sizes"):
        few.best_by("slope")
    assert few.warnings[-1].startswith("No fit can be chosen: 'slope' is not known")
