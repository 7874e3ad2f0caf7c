"""ArviZ through one door: the same answers from ArviZ 0.2x and 1.x."""

from __future__ import annotations

import numpy as np
import pytest

from jaxem.bayes import diagnostics


@pytest.fixture
def samples(rng):
    return {"a": rng.normal(size=(4, 500)), "b": rng.normal(2.0, 3.0, size=(4, 500, 2)), "fixed": np.zeros((4, 500, 2))}


def test_summary_of_independent_draws(samples):
    table = diagnostics.summary(samples, prob=0.5)
    assert list(table.index) == ["a", "b[0]", "b[1]"]  # what never changes has no row
    np.testing.assert_allclose(table["mean"], [samples["a"].mean(), *samples["b"].mean((0, 1))])
    np.testing.assert_allclose(table.loc["a", ["low", "high"]].tolist(), np.quantile(samples["a"], [0.25, 0.75]))
    assert (table["r_hat"] < 1.01).all()
    assert (table["ess_bulk"] > 1500).all()
    assert diagnostics.unmixed(table) == []


def test_chains_that_disagree_are_told(samples):
    apart = {"a": samples["a"] + np.arange(4)[:, None]}
    said = diagnostics.unmixed(diagnostics.summary(apart))
    assert len(said) == 2
    assert "R-hat exceeds 1.01 for 1 of 1 numbers (a:" in said[0]


def test_one_chain_is_compared_with_itself(samples, rng, caplog):
    """R-hat of its halves: the same as of these as two chains, and above the bound where the chain drifts."""
    one = {name: draws[:1] for name, draws in samples.items()}
    halves = {name: np.concatenate([draws[:1, :250], draws[:1, 250:]]) for name, draws in samples.items()}
    np.testing.assert_array_equal(diagnostics.summary(one)["r_hat"], diagnostics.summary(halves)["r_hat"])
    assert diagnostics.rhat(one["a"]) == diagnostics.summary(one).loc["a", "r_hat"]
    said = diagnostics.unmixed(diagnostics.summary({"a": rng.normal(size=(1, 501)) + np.linspace(0, 3, 501)}))
    assert "R-hat exceeds 1.01 for 1 of 1 numbers (a:" in said[0]
    assert not caplog.records


def test_too_few_draws_for_rhat_are_told(samples, caplog):
    short = diagnostics.summary({"a": samples["a"][:1, :7]})
    assert "R-hat is not known for 1 of 1 numbers: one chain needs 8 draws for it" in diagnostics.unmixed(short)[0]
    assert np.isnan(diagnostics.rhat(samples["a"][:1, :7]))
    assert not caplog.records


def test_container_has_groups_and_axes(samples):
    box = diagnostics.to_arviz(samples, {"y": samples["b"]}, {"diverging": samples["a"] > 9}, dims={"b": ["side"]})
    assert box["posterior"]["b"].dims == ("chain", "draw", "side")
    assert "y" in box["log_likelihood"]
    assert "diverging" in box["sample_stats"]


def test_loo_and_waic_agree_where_both_are_exact(rng):
    """Rows that no parameter is uncertain about: both are the log-likelihood, and nothing is spent on parameters."""
    log_likelihood = np.broadcast_to(rng.normal(size=20), (4, 500, 20)) + 1e-6 * rng.normal(size=(4, 500, 20))
    for found in (diagnostics.loo(log_likelihood), diagnostics.waic(log_likelihood)):
        assert found["elpd"] == pytest.approx(log_likelihood[0, 0].sum(), abs=1e-4)
        assert found["p"] == pytest.approx(0.0, abs=1e-4)


def test_draws_that_never_change_are_mixed():
    assert diagnostics.rhat(np.ones((4, 100))) == 1.0
    assert diagnostics.ess(np.ones((4, 100))) == 400


def test_probability_of_an_interval(samples):
    with pytest.raises(ValueError, match="prob must lie between 0 and 1, got 90"):
        diagnostics.summary(samples, prob=90)
