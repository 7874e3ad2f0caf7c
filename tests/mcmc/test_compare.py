"""EM beside MCMC: the numbers are what they say, the pages say them, warnings come first."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import jaxem
from jaxem.bayes import compare_em_mcmc, figures


@pytest.fixture(scope="module")
def both(two, by_nuts, faithful):
    return compare_em_mcmc(two, by_nuts, heldout=faithful[:30], by_k=jaxem.select(faithful, "VVV", range(1, 4)))


def test_every_parameter_agrees(both, two):
    """A posterior under a weak prior is where EM says it is: within a tenth of an sd, and as wide within a tenth."""
    assert len(both.table) == two.num_params + 1  # the weights sum to 1
    assert both.table["z"].abs().max() < 0.1
    assert both.table["sd_ratio"].between(0.9, 1.1).all()
    assert both.table.loc["means[1, waiting]", "estimate"] == two.params.means[1, 1]
    assert both.table.loc["covariances[0, waiting, eruptions]", "estimate"] == two.params.covariances[0, 1, 0]


def test_scalars_are_what_they_say(both, two, by_nuts, faithful):
    scalars = both.scalars
    assert scalars["log-likelihood at the optimum"] == two.log_likelihood
    assert scalars["effective dimension, 2(max - mean)"] == pytest.approx(two.num_params, rel=0.1)
    assert scalars["-BIC/2"] == -two.bic / 2
    assert scalars["elpd by LOO"] == by_nuts.loo()["elpd"]
    assert scalars["held-out log-density, EM"] == pytest.approx(two.log_prob(faithful[:30]).sum())
    assert scalars["held-out log-density, posterior"] == pytest.approx(scalars["held-out log-density, EM"], abs=1)
    assert scalars["adjusted Rand index of the partitions"] > 0.97
    assert scalars["co-clustering, root mean square difference"] < 0.02
    assert scalars["seconds of the sampler, cold"] >= scalars["seconds of the sampler, warm"] > 0
    assert scalars["seconds of EM, its whole search"] == two.seconds > 0
    assert scalars["divergent draws"] == 0


def test_five_figures_and_a_page(both, tmp_path):
    assert set(both.figures()) == {"forest", "log_likelihood", "contours", "coclustering", "by_k"}
    both.report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img ") == 5
    assert "means[0, waiting]" in page
    assert "http" not in page
    assert json.loads(json.dumps(both.to_dict(), allow_nan=False))["num_components"] == 2


def test_spurious_fits_are_no_best(both):
    """What has no bound is not what others are measured from."""
    table = both.by_k.assign(bic=[20.0, 10.0, -500.0], spurious=[False, False, True])
    (line,) = (one for one in figures.by_k(dataclasses.replace(both, by_k=table)).lines if one.get_label() == "BIC")
    assert line.get_ydata().tolist() == [10.0, 0.0]


def test_warnings_come_before_everything(two, by_nuts, tmp_path):
    diverging = np.ones_like(by_nuts.sample_stats["diverging"])
    bad = dataclasses.replace(by_nuts, sample_stats=by_nuts.sample_stats | {"diverging": diverging}, standard_errors=None)
    both = compare_em_mcmc(two, bad)
    assert str(both).startswith("Read this first:\n  4000 of 4000 draws diverged")
    assert any("standard errors do not exist" in sentence for sentence in both.warnings)
    both.report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.index("draws diverged") < page.index("<h2>Parameters")
    assert "by_k" not in both.figures()


def test_meaningless_components_leave_label_free_numbers(two, by_nuts):
    merged = dataclasses.replace(by_nuts, non_permutations=0.9)
    both = compare_em_mcmc(two, merged)
    assert len(both.table) == 0
    assert "forest" not in both.figures()
    assert "mean of waiting" in str(both)
    assert "adjusted Rand index of the partitions" not in both.scalars


def test_an_estimate_of_nothing_is_one():
    """The mean of rows on both sides of 0 is 0 to the last digit."""
    rows = np.tile([-1.0, 1.0, -2.0, 2.0, -3.0, 3.0], 20)
    fit = jaxem.fit(rows, "V", 1)
    assert fit.params.means[0, 0] == 0.0
    both = compare_em_mcmc(fit, fit.posterior(rows, num_warmup=50, num_samples=100))
    assert both.table["estimate"].to_dict() == {"means[0, x1]": 0.0, "covariances[0, x1, x1]": pytest.approx(14 / 3)}


def test_others_are_refused(two, by_nuts, fitted):
    with pytest.raises(TypeError, match="takes a Fit and its Posterior, got Fit and Fit"):
        compare_em_mcmc(two, two)
    with pytest.raises(ValueError, match="started from another fit"):
        compare_em_mcmc(fitted, by_nuts)
