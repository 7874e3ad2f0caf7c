"""The posterior of t components: its parts against SciPy, and all that is asked of the draws. Its sampler: test_conjugate."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from helpers import jit
from numpyro.handlers import seed, substitute, trace
from scipy import stats

import jaxem
from jaxem._precision import precision
from jaxem.bayes import StudentPrior, compare_em_mcmc, figures, fraley_raftery, mixture_model, priors, richardson_green, weak
from jaxem.bayes.model import family_of
from jaxem.bayes.student import START, gammas
from jaxem.families.student import StudentParams


@pytest.fixture(scope="module")
def heavy():
    """Two clusters of t distributed rows."""
    rng = np.random.default_rng(1)
    return rng.standard_t(4, size=(150, 2)) + np.where(np.arange(150) < 60, 0.0, 12.0)[:, None]


@pytest.fixture(scope="module")
def fit(heavy):
    return jaxem.fit(heavy, "tVVI", 2)


@pytest.fixture(scope="module")
def post(fit, heavy):
    return fit.posterior(heavy)


@pytest.mark.parametrize("shape", [1.0, 1.5, 40.0])
def test_gammas_are_scipys(shape):
    with precision(np.float64):
        drawn = jit(gammas)(jax.random.key(0), np.full(20_000, shape))
    assert stats.kstest(drawn, stats.gamma(shape).cdf).pvalue > 0.001


@pytest.mark.parametrize("dof", [None, "equal"])
def test_components_without_rows_are_drawn_from_the_prior(fit, heavy, dof):
    """The telescoping sampler counts on it."""
    prior, k = dataclasses.replace(weak(fit, heavy), dof=dof), 2000
    with precision(np.float64):
        family = family_of(prior)
        normal = family.normal.reference(k, 2, np.float64)
        at, nothing = StudentParams(normal, np.full(k, 0.5)), np.zeros((k, 1))
        keys = jax.random.split(jax.random.key(0), 1 if dof is None else k)
        once = jax.vmap(lambda key: prior.augment(key, family, at, np.zeros((2, 1)), nothing)[0].tail)
        above = 1 / np.asarray(jit(once)(keys))[: 1 if dof is None else None, : k if dof is None else 1].ravel() - 1
    assert stats.kstest(above, stats.gamma(2, scale=10).cdf).pvalue > 0.001


@pytest.mark.parametrize("family", ["tVVV", "tEEI:equal", "tVII:4", "tV"])
@pytest.mark.parametrize("name", ["weak", "richardson-green"])
def test_log_density_is_scipys(heavy, family, name):
    """Of the rows that of the fit; of degrees of freedom that of a gamma distribution, shifted."""
    rows = heavy[:, : 1 if family == "tV" else 2]
    fit = jaxem.fit(rows, family, 2, start=np.eye(2)[(rows[:, 0] > 6).astype(int)])
    prior = priors.resolve(name, fit, rows)
    assert isinstance(prior, StudentPrior)
    assert prior.family == fit.family
    with precision(np.float64):
        values = {"weights": fit.params.weights, **prior.site_values(fit.params.asdict())}
        found = trace(substitute(seed(mixture_model(prior, 2), 0), values)).get_trace(rows)
        np.testing.assert_allclose(found["x"]["fn"].log_prob(rows), fit.log_prob(rows), atol=1e-9)
        for site, array in fit.params.asdict().items():
            np.testing.assert_allclose(found[site]["value"], array, rtol=1e-9)
        if prior.held is None:
            site = found["shared_dof" if prior.common else "dof"]
            wanted = stats.gamma(2, loc=1, scale=10).logpdf(site["value"])
            np.testing.assert_allclose(np.sum(site["fn"].log_prob(site["value"])), wanted.sum())


@pytest.mark.slow
def test_parameters_have_their_names(post, fit):
    assert post.warnings == ()
    names = list(post.numbers())
    assert len(names) == fit.num_params + 1  # the weights sum to 1
    assert {"dof[1]", "scatters[0, x2, x2]", "means[1, x1]"} < set(names)
    assert "scatters[0, x2, x1]" not in names
    assert post.draws["dof"].min() > 1
    assert "scatter of x1" in post.label_free().index
    assert tuple(post.to_arviz()["posterior"]["dof"].dims) == ("chain", "draw", "component")


@pytest.mark.slow
def test_em_beside_mcmc(post, fit, heavy):
    """Means and weights are where EM says; rows far out are worth little to both."""
    both = compare_em_mcmc(fit, post)
    assert both.table.loc[[name for name in both.table.index if name[0] in "mw"], "z"].abs().max() < 0.5
    assert both.table.loc["dof[0]", "estimate"] == fit.params.dof[0]
    assert both.table["standard_error"].notna().all()
    assert {"forest", "contours"} < set(both.figures())
    assert (post.predict(heavy) == fit.predict(heavy)).mean() > 0.98
    np.testing.assert_allclose(post.log_prob(heavy), fit.log_prob(heavy), atol=0.7)


@pytest.mark.slow
def test_a_cluster_that_is_normal_to_em(post):
    """EM says 10⁶ degrees of freedom: more than the prior allows to begin with, and no number to be compared."""
    params = jaxem.Params(**post.fit.params.asdict() | {"dof": [1e6, 4.0]})
    np.testing.assert_array_equal(post.prior.site_values(params.asdict())["dof"], [START[1], 4.0])
    fit = dataclasses.replace(post.fit, params=params)
    both = compare_em_mcmc(fit, dataclasses.replace(post, fit=fit))
    row = both.table.loc["dof[0]"]
    assert row["estimate"] == np.inf
    assert np.isnan([row["standard_error"], row["z"]]).all()
    assert "∞" in str(both)
    assert both.to_dict()["table"][-2]["estimate"] is None
    ax = figures.forest(both)
    assert [line.get_marker() for line in ax.lines].count(">") == 1
    assert np.ptp(ax.get_xlim()) <= 2 * figures.EDGE


@pytest.mark.slow
def test_what_components_share_has_one_number(post):
    prior = dataclasses.replace(post.prior, dof="equal")
    assert list(dataclasses.replace(post, prior=prior).numbers())[-1] == "dof[0]"


def test_named_priors_are_those_of_gaussian_components(heavy):
    for ours, theirs in (
        (richardson_green(heavy, "tEEE"), richardson_green(heavy, "EEE")),
        (fraley_raftery(heavy, "tEEE", 2), fraley_raftery(heavy, "EEE", 2)),
    ):
        assert all(map(np.array_equal, jax.tree.leaves(ours.normal), jax.tree.leaves(theirs)))
    assert richardson_green(heavy[:, 0], "tVVV:equal").family == "tV:equal"
    assert weak(jaxem.fit(heavy, "tVII:4", 1), heavy).family == "tVII:4"


def test_others_are_refused(fit, heavy):
    with pytest.raises(ValueError, match="prior is for family 'tVII', but the fit's is 'tVVI'"):
        priors.resolve(richardson_green(heavy, "tVII"), fit, heavy)
    with pytest.raises(ValueError, match="dof_shape must be one number above 0, got -1"):
        priors.resolve(dataclasses.replace(weak(fit, heavy), dof_shape=-1), fit, heavy)
    with pytest.raises(ValueError, match=r"family must be one of VVV, .*, or a t before one, got 'tVEE'"):
        richardson_green(heavy, "tVEE")
    with pytest.raises(ValueError, match=r"no conjugate prior is known for family 'tVEE'; .* tVVV, tEEE, "):
        dataclasses.replace(fit, family="tVEE").posterior(heavy)
