"""The posterior of categorical components: its prior by SciPy, three samplers, EM beside MCMC, unknown K, and what is refused."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from numpyro.handlers import seed, substitute, trace
from scipy import stats

import jaxem
from jaxem._precision import precision
from jaxem.bayes import CategoricalPrior, compare_em_mcmc, compare_k, mixture_model, priors, weak


@pytest.fixture(scope="module")
def people():
    """Every seventh person on board: three columns, of 4, 2 and 2 categories."""
    return jaxem.datasets.load("titanic")[["class", "sex", "survived"]].iloc[::7]


@pytest.fixture(scope="module")
def fit(people):
    return jaxem.fit(people, "categorical", 2, num_restarts=4, moves=False)


@pytest.fixture(scope="module")
def post(fit, people):
    return fit.posterior(people, num_samples=500, num_warmup=200, seed=0)


def test_log_density_is_scipys(fit, people):
    prior, rng = weak(fit, people), np.random.default_rng(0)
    weights, chance = rng.dirichlet([2.0, 3.0]), np.zeros((2, 3, 4))
    for k, j in np.ndindex(2, 3):
        chance[k, j, list(prior.there[j])] = rng.dirichlet(np.ones(len(prior.there[j])))
    rows = fit.rows(people)
    with precision(np.float64):
        values = {"weights": weights, **prior.site_values({"probabilities": chance})}
        found = trace(substitute(seed(mixture_model(prior, 2), 0), values)).get_trace(rows)
        sites = [found[name] for name in ("probabilities_2", "probabilities_4", "x")]
        *of_prior, of_rows = (float(np.sum(site["fn"].log_prob(site["value"]))) for site in sites)
    begun = np.asarray(found["probabilities"]["value"])
    np.testing.assert_allclose(begun, chance, atol=2e-3)  # a little inside
    each = np.prod([begun[:, j, rows[:, j].astype(int)] for j in range(3)], axis=0)
    assert of_rows == pytest.approx(np.log(weights @ each).sum(), rel=1e-10)
    flat = [stats.dirichlet(np.ones(size)).logpdf(np.full(size, 1 / size)) for size in map(len, prior.there)]
    assert sum(of_prior) == pytest.approx(2 * sum(flat))


def test_a_column_of_one_category_has_no_choice():
    prior = CategoricalPrior(np.ones((2, 2)), 1.0, there=((1,), (0, 1)))
    drawn = np.asarray(prior.sample(jax.random.key(0), 3).probability)
    np.testing.assert_array_equal(drawn[:, 0], [[0, 1]] * 3)
    sites = trace(seed(mixture_model(prior, 3), 0)).get_trace(num_rows=4)
    np.testing.assert_array_equal(sites["probabilities"]["value"][:, 0], [[0, 1]] * 3)
    assert (np.asarray(sites["x"]["value"])[:, 0] == 1).all()


def test_parameters_have_their_names(post):
    names = set(post.numbers())
    assert {"weights[0]", "probabilities[0, class, Crew]", "probabilities[1, sex, Male]"} <= names
    assert len(names) == 2 + 2 * 8
    assert "share of survived, Yes" in post.label_free().index
    shares = post.label_free().loc["share of survived, Yes", "mean"]
    assert shares == pytest.approx((jaxem.datasets.load("titanic")["survived"].iloc[::7] == "Yes").mean(), abs=0.02)
    assert post.summary()["r_hat"].max() < 1.1


def test_em_beside_mcmc(post, fit):
    both = compare_em_mcmc(fit, post)
    assert set(both.table.index) == set(post.numbers())
    known = both.table[both.table["standard_error"] > 0]
    assert len(known) > 10
    assert known["z"].abs().max() < 2
    assert both.table.loc[both.table["standard_error"] == 0, "sd_ratio"].isna().all()


def test_unknown_number_of_classes(people):
    by_k = compare_k(people, range(1, 4), family="categorical", num_chains=4, num_warmup=300, num_samples=1000)
    assert by_k.posterior_k[0] < 0.01
    assert set(by_k.table["num_components"]) == {1, 2, 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strength": np.ones((2, 4))}, r"strength must have shape \(3, m\), one row a column, got shape \(2, 4\)"),
        ({"strength": np.zeros((3, 4))}, "strength must be finite, and positive for every category"),
        ({"there": ((0, 1), (0, 1), (0, 9))}, "there must have the numbers of the categories of each of 3 columns"),
    ],
)
def test_impossible_priors_are_refused(fit, people, change, said):
    with pytest.raises(ValueError, match=said):
        priors.resolve(dataclasses.replace(weak(fit, people), **change), fit, people)


def test_a_prior_of_covariances_is_refused(fit, people):
    with pytest.raises(ValueError, match="prior must be one of"):
        fit.posterior(people, prior="fraley-raftery")
