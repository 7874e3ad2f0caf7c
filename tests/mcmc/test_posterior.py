"""The posterior of Old Faithful: samplers agree with each other and with EM, and everything that is asked of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import jaxem
from jaxem.bayes import diagnostics, mixture_model, posterior, sampling


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def z_scores(a, b):
    """Differences of means, sds and quantiles of draws (chains, draws), in units of their Monte Carlo errors."""
    asked = [("mean", None, np.mean), ("sd", None, np.std)]
    asked += [("quantile", q, lambda draws, q=q: np.quantile(draws, q)) for q in QUANTILES]
    for method, prob, statistic in asked:
        error = np.hypot(*(diagnostics.mcse(draws, method, prob) for draws in (a, b)))
        yield (statistic(a) - statistic(b)) / error


def test_gibbs_and_nuts_agree_within_monte_carlo_error(by_gibbs, by_nuts):
    """Largest |z| of 12 params × (mean, sd, 5 quantiles): 84 z-scores of which each exceeds 4.5 with probability 7e-6."""
    ours, theirs = by_gibbs.numbers(), by_nuts.numbers()
    assert ours.keys() == theirs.keys()
    assert len(ours) == 12
    assert max(abs(z) for name in ours for z in z_scores(ours[name], theirs[name])) < 4.5


def test_posterior_sds_are_em_standard_errors_within_a_tenth(by_nuts):
    table, errors = by_nuts.summary(), by_nuts.standard_errors.table
    for row in errors[errors["parameter"] != "correlations"].itertuples():
        place = ", ".join(filter(None, [str(row.component), row.columns]))
        assert table.loc[f"{row.parameter}[{place}]", "sd"] == pytest.approx(row.standard_error, rel=0.1)


def test_nothing_is_wrong_with_these_chains(by_gibbs, by_nuts):
    for post in (by_gibbs, by_nuts):
        assert post.warnings == ()
        assert (post.num_divergent, post.switched, post.non_permutations) == (0, 0.0, 0.0)
        assert post.summary()["ess_bulk"].min() > 400
        assert "warning" not in post.summary()


def test_log_posteriors_of_both_optima_are_told(by_gibbs, two):
    starts = by_gibbs.starts
    assert list(starts["start"]) == ["EM", "EM", "EM", "runner-up"]
    assert starts["log_posterior"].iloc[0] > starts["log_posterior"].iloc[3]
    assert "runner-up optimum, whose log-posterior is" in by_gibbs.notes[0]
    assert abs(by_gibbs.log_likelihood.sum(-1).max() - two.log_likelihood) < 2  # draws come near to the maximum, from below
    assert by_gibbs.log_likelihood.sum(-1).max() < two.log_likelihood


def test_same_seed_same_draws_and_another_seed_others(two, faithful, by_gibbs):
    again, other = (two.posterior(faithful, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.draws["means"], by_gibbs.draws["means"])
    assert not np.array_equal(other.draws["means"], by_gibbs.draws["means"])


def test_laplace_is_near_the_posterior(two, faithful, by_gibbs):
    post = two.posterior(faithful, sampler="laplace")
    assert post.pareto_k < 0.7
    ratio = post.summary()["sd"] / by_gibbs.summary()["sd"]
    assert ratio.between(0.85, 1.15).all()


def test_predictions_are_averages_over_draws(by_gibbs, two, faithful):
    resp = by_gibbs.predict_proba(faithful)
    np.testing.assert_allclose(resp.sum(1), 1, atol=1e-6)
    assert np.abs(resp - two.predict_proba(faithful)).mean() < 0.01
    np.testing.assert_allclose(resp, by_gibbs.probabilities.mean((0, 1)), atol=0.01)
    density = by_gibbs.log_prob(faithful)
    top = by_gibbs.log_likelihood.reshape(-1, len(faithful))
    np.testing.assert_allclose(density, np.log(np.exp(top).mean(0)), atol=0.06)  # a quarter of the draws
    assert (by_gibbs.predict(faithful) == two.predict(faithful)).mean() > 0.98


def test_predictions_take_some_rows_at_a_time(by_gibbs, faithful, monkeypatch):
    """At every draw each row has a density and k probabilities: there is no room for those of all rows."""
    whole, seen, under = (by_gibbs.log_prob(faithful), by_gibbs.predict_proba(faithful)), [], sampling.rows_under
    monkeypatch.setattr(sampling, "rows_under", lambda prior, x, draws: seen.append(x.shape[1]) or under(prior, x, draws))
    monkeypatch.setattr(posterior, "ROWS", 64)
    np.testing.assert_allclose(by_gibbs.log_prob(faithful), whole[0], rtol=1e-12)
    np.testing.assert_allclose(by_gibbs.predict_proba(faithful), whole[1], rtol=1e-12)
    assert seen == [64, 64, 64, 64, 32] * 2


def test_coclustering_is_symmetric_and_bounded(by_gibbs, two, faithful):
    together = by_gibbs.coclustering()
    np.testing.assert_allclose(together, together.T, atol=1e-6)
    assert together.min() >= 0
    assert together.max() <= 1 + 1e-6
    labels = two.predict(faithful)
    assert together[labels[:, None] == labels].mean() > 0.98


def test_predictive_density_and_its_criteria(by_gibbs, two):
    """LOO is below the in-sample predictive density and counts about as many parameters as there are; WAIC is near it."""
    loo, waic = by_gibbs.loo(), by_gibbs.waic()
    assert loo["p"] == pytest.approx(two.num_params, rel=0.2)
    assert loo["elpd"] == pytest.approx(-two.aic / 2, abs=2)
    assert waic["elpd"] == pytest.approx(loo["elpd"], abs=0.5)


def test_order_of_rows_is_of_no_account_for_loo(by_gibbs):
    """The length of the tail that is smoothed follows from how well all rows are drawn, and not from the first row."""
    ours, back = diagnostics.loo(by_gibbs.log_likelihood), diagnostics.loo(by_gibbs.log_likelihood[..., ::-1])
    np.testing.assert_allclose(back["pareto_k"], ours["pareto_k"][::-1], rtol=1e-9)
    np.testing.assert_allclose(back["elpd"], ours["elpd"], rtol=1e-12)


def test_effective_draws_of_rows_that_never_change_and_of_short_chains():
    """Of the first there are as many as draws; of the second none are known."""
    draws = np.random.default_rng(0).normal(-1.0, 0.1, (2, 100, 5))
    assert diagnostics._efficiency(np.full_like(draws, -1.0)) == 1.0
    assert np.isfinite(diagnostics.loo(draws.reshape(100, 2, 5))["elpd"])


def test_arviz_has_the_names_of_columns(by_gibbs):
    group = by_gibbs.to_arviz()["posterior"]
    assert tuple(group["covariances"].dims) == ("chain", "draw", "component", "column", "other_column")
    assert group["means"].sel(column="waiting").shape == (4, 1000, 2)


def test_methods_of_relabelling_agree_where_nothing_has_switched(by_gibbs):
    for method in ("stephens", "ecr", "pivot"):
        np.testing.assert_array_equal(by_gibbs.relabel(method).draws["means"], by_gibbs.draws["means"])
    with pytest.raises(ValueError, match="method must be one of 'stephens'"):
        by_gibbs.relabel("guess")


def test_result_holds_no_data(by_gibbs, faithful):
    for field in dataclasses.fields(by_gibbs):
        value = getattr(by_gibbs, field.name)
        assert not (isinstance(value, np.ndarray) and value.shape == faithful.shape and np.ptp(value) > 1)


def test_divergences_and_bad_mixing_lead_every_table(by_nuts):
    diverging = np.zeros_like(by_nuts.sample_stats["diverging"])
    diverging[0, :7] = True
    bad = dataclasses.replace(by_nuts, sample_stats=by_nuts.sample_stats | {"diverging": diverging})
    assert bad.warnings[0].startswith("7 of 4000 draws diverged")
    assert (bad.summary()["warning"] == bad.warnings[0]).all()
    assert str(bad).index("7 of 4000") < str(bad).index("means[0, eruptions]")


def test_component_tables_are_refused_where_they_mean_nothing(by_gibbs, faithful):
    apart = {name: array.copy() for name, array in by_gibbs.draws.items()}
    apart["means"][0] += 5.0
    lost = dataclasses.replace(by_gibbs, draws=apart)
    with pytest.raises(RuntimeError, match="the chains describe different components"):
        lost.summary()
    with pytest.raises(RuntimeError, match="mean nothing"):
        lost.predict_proba(faithful)
    merged = dataclasses.replace(by_gibbs, non_permutations=0.6)
    with pytest.raises(RuntimeError, match="in 60 % of the draws two components share the place of one"):
        merged.summary()
    assert merged.label_free().loc["mean of waiting", "mean"] == pytest.approx(faithful["waiting"].mean(), rel=0.01)
    assert "label_free()" in str(merged)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"sampler": "hmc"}, ValueError, "sampler must be one of 'auto', 'gibbs', 'nuts', 'laplace', got 'hmc'"),
        ({"num_chains": 0}, ValueError, "num_chains must be at least 1"),
        ({"num_samples": 3}, ValueError, "num_samples must be at least 4"),
        ({"num_warmup": 1.5}, TypeError, "num_warmup must be a whole number"),
        ({"seed": -1}, ValueError, "seed must not be negative"),
    ],
)
def test_bad_arguments_are_refused(two, faithful, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        two.posterior(faithful, **arguments)


def test_bad_fits_and_rows_are_refused(two, faithful):
    halted = dataclasses.replace(two, status=jaxem.result.Status.MAX_STEPS)
    with pytest.raises(ValueError, match="the fit did not converge"):
        halted.posterior(faithful)
    with pytest.raises(ValueError, match=r"row 3, column 'waiting' is missing"):
        two.posterior(faithful.mask(np.arange(272)[:, None] + np.array([0, 0]) == np.array([-1, 2])))
    with pytest.raises(ValueError, match="these are not the rows that the fit was made from"):
        two.posterior(faithful[:100])
    with pytest.raises(ValueError, match="no conjugate prior is known for family 'VEE'"):
        dataclasses.replace(two, family="VEE").posterior(faithful)
    with pytest.raises(ValueError, match="this fit was made with equal_weights and noise; fit again without"):
        dataclasses.replace(two, terms={"noise": {}, "equal_weights": True}).posterior(faithful)


def test_loo_wants_enough_draws(by_gibbs):
    few = dataclasses.replace(by_gibbs, log_likelihood=by_gibbs.log_likelihood[:, :10])
    with pytest.raises(
        ValueError, match="loo needs at least 100 draws for its diagnostics, and there are 40: raise num_samples"
    ):
        few.loo()


def test_model_goes_on_in_numpyro(by_gibbs, faithful):
    """The log-posterior that is reported is that of the public model."""
    from numpyro.infer.util import log_density

    from jaxem._precision import precision

    with precision(np.float64):
        model = mixture_model(by_gibbs.prior, 2)
        at = {name: array[0, 0] for name, array in by_gibbs.draws.items()}
        density, _ = log_density(model, (faithful.to_numpy(),), {}, at)
    assert float(density) < by_gibbs.starts["log_posterior"].iloc[0]
