"""`jaxem.fit` and the `Fit` that comes of it: what it says of itself agrees with SciPy, and with itself."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import STRUCTURES, structured
from helpers import agree, identical
from scipy import stats
from scipy.special import logsumexp

import jaxem
from jaxem import density, resampling, rowwise
from jaxem._parts import parts
from jaxem.families import gaussian


QUICK = {"num_restarts": 4, "num_finalists": 2, "moves": False}


def log_joint(fit, rows):
    """log p(row, component) by SciPy, shape (n, k)."""
    p = fit.params
    normals = [stats.multivariate_normal(mean, covariance) for mean, covariance in zip(p.means, p.covariances, strict=True)]
    return np.stack([normal.logpdf(rows) for normal in normals], axis=1) + np.log(p.weights)


def test_the_call_is_as_designed():
    wanted = "num_restarts=20, num_finalists=5, moves=True, init='portfolio', weights=None, tol=0.001, max_steps=2000, seed=0"
    signature = inspect.signature(jaxem.fit)
    given = {name: p.default for name, p in signature.parameters.items()}
    assert list(given)[:3] == ["data", "family", "num_components"]
    assert given["start"] is None
    assert eval(f"dict({wanted})").items() <= given.items()
    assert all(p.kind == p.KEYWORD_ONLY for p in list(signature.parameters.values())[3:])


def test_params_are_numpy_in_order_of_weight(fitted):
    shapes = {"weights": (3,), "means": (3, 2), "covariances": (3, 2, 2)}
    assert {name: array.shape for name, array in fitted.params.asdict().items()} == shapes
    assert all(type(array) is np.ndarray and array.dtype == np.float64 for array in fitted.params.asdict().values())
    assert (np.diff(fitted.params.weights) <= 0).all()
    assert fitted.params.weights.sum() == pytest.approx(1)


def test_log_likelihood_and_responsibilities_are_scipys(fitted, x):
    joint = log_joint(fitted, x)
    log_prob = logsumexp(joint, axis=1)
    assert fitted.log_likelihood == pytest.approx(log_prob.sum(), rel=1e-10)
    agree(fitted.log_prob(x), log_prob)
    agree(fitted.predict_proba(x), np.exp(joint - log_prob[:, None]))
    np.testing.assert_array_equal(fitted.predict(x), joint.argmax(1))
    np.testing.assert_array_equal(fitted.sizes, np.bincount(joint.argmax(1), minlength=3))


def test_criteria_follow_from_the_log_likelihood(fitted, x):
    """Lower is better; ICL charges for every row what its own cluster lacks of certainty."""
    deviance, p, n = -2 * fitted.log_likelihood, fitted.num_params, len(x)
    assert p == 11
    assert fitted.aic == pytest.approx(deviance + 2 * p)
    assert fitted.bic == pytest.approx(deviance + p * np.log(n))
    assert fitted.icl == pytest.approx(fitted.bic - 2 * np.log(fitted.predict_proba(x).max(1)).sum())


def test_history_climbs_to_the_log_likelihood(fitted):
    assert fitted.converged
    assert fitted.status.name == "CONVERGED"
    assert len(fitted.history) == fitted.num_steps
    assert (np.diff(fitted.history) >= 0).all()
    assert fitted.history[-1] == pytest.approx(fitted.log_likelihood, rel=1e-9)


def test_a_result_never_holds_the_data(fitted, x):
    for field in dataclasses.fields(fitted):
        values = getattr(fitted, field.name)
        arrays = values.asdict().values() if isinstance(values, jaxem.Params) else [values]
        assert all(len(x) not in np.shape(array) for array in arrays), field.name


@pytest.mark.parametrize("code", ["VVV", "EEE", "VVI", "EEI", "VII", "EII"])
def test_structure_holds_in_the_datas_own_units(x, code):
    fit = jaxem.fit(x, code, 2, **QUICK)
    covariances = fit.params.covariances
    agree(covariances, structured(code, covariances, fit.params.weights), rtol=1e-9)
    assert np.linalg.eigvalsh(covariances).min() > 0
    assert fit.num_params == 1 + gaussian(code).num_params(2, 2)


@pytest.mark.parametrize("pair", [("EEE", "VVV"), ("EEI", "VVI"), ("EII", "VII")], ids="=".join)
def test_one_component_leaves_no_choice_between(x, pair):
    one, other = (jaxem.fit(x, code, 1) for code in pair)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)
    agree(one.params.asdict(), other.params.asdict(), rtol=1e-9)


def test_in_one_dimension_only_the_volume_counts(x):
    """Every structure is then one of two, scikit-learn's names too."""
    found = {code: jaxem.fit(x[:, 1], code, 2, **QUICK) for code in (*STRUCTURES, "full", "tied", "diag", "spherical")}
    assert {code: fit.family for code, fit in found.items()} == {
        code: "E" if code[0] == "E" or code == "tied" else "V" for code in found
    }
    assert {fit.log_likelihood for fit in found.values()} == {found["E"].log_likelihood, found["V"].log_likelihood}
    one = jaxem.fit(x[:, 1], "E", 1), jaxem.fit(x[:, 1], "V", 1)
    assert one[0].log_likelihood == pytest.approx(one[1].log_likelihood, rel=1e-12)


@pytest.mark.parametrize(("name", "code"), [("full", "VVV"), ("tied", "EEE"), ("diag", "VVI"), ("spherical", "VII")])
def test_scikit_learns_names(x, resp, name, code):
    one, other = (jaxem.fit(x, family, 3, start=resp) for family in (name, code))
    assert one.family == other.family == code
    agree(one.params.asdict(), other.params.asdict(), rtol=0, atol=0)


def test_the_same_seed_gives_the_same_bits(x):
    one, other = jaxem.fit(x, "VVV", 3, seed=7), jaxem.fit(x, "VVV", 3, seed=7)
    agree(one.params.asdict(), other.params.asdict(), rtol=0, atol=0)
    assert one.log_likelihood == other.log_likelihood
    keys = [jaxem.fit(x, "VVV", 3, seed=key, **QUICK) for key in (jax.random.key(3), jax.random.PRNGKey(3))]
    assert keys[0].log_likelihood == keys[1].log_likelihood


def test_numbers_of_numpy_are_numbers(x):
    one, other = (jaxem.fit(x, "VVV", 2, tol=tol, **QUICK) for tol in (1, np.int64(1)))
    assert one.log_likelihood == other.log_likelihood
    assert one.standard_errors(x, level=np.float32(0.5)).level == 0.5


def test_another_seed_starts_elsewhere(x):
    runs = [jaxem.select(x, "VVV", 4, seed=seed, init="random-rows", **QUICK).runs for seed in (0, 1)]
    assert set(runs[0]["log_likelihood"]).isdisjoint(runs[1]["log_likelihood"])


def test_a_fit_is_a_start(x, fitted):
    for params in (fitted.params, types.SimpleNamespace(**fitted.params.asdict())):
        again = jaxem.fit(x, "EEE", 3, start=params)
        assert again.converged
        assert -1e-8 < again.log_likelihood - fitted.log_likelihood < 1e-3
        agree(again.params.means, fitted.params.means, rtol=1e-2)
    assert (again.trust, again.num_restarts, again.replicated) == ("", 0, 0)


def test_responsibilities_of_a_fit_are_a_start(x, fitted):
    again = jaxem.fit(x, "EEE", 3, start=fitted.predict_proba(x))
    assert again.log_likelihood >= fitted.log_likelihood - 1e-8


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("code", ["VVV", "EII"])
def test_less_than_tol_is_missing(x, resp, code, tol):
    fit, end = (jaxem.fit(x, code, 3, start=resp, tol=t, max_steps=20_000) for t in (tol, 1e-10))
    assert fit.converged
    assert end.log_likelihood - fit.log_likelihood < tol


def test_steps_run_out_and_it_says_so(x, resp):
    fit = jaxem.fit(x, "VVV", 3, start=resp, max_steps=4)
    assert (fit.num_steps, fit.status.name, fit.converged) == (4, "MAX_STEPS", False)
    assert fit.warnings == (
        "VVV with K = 3: still climbing after max_steps; raise max_steps, or tol if the remaining gain does not matter.",
    )


@pytest.mark.parametrize("far", [0.0, 1e4])
def test_float32_finds_the_same(x, resp, far):
    double = jaxem.fit(x + far, "VVV", 3, start=resp)
    single = jaxem.fit(x + far, "VVV", 3, start=resp, dtype="float32")
    assert single.log_likelihood == pytest.approx(double.log_likelihood, abs=0.05)
    assert single.params.covariances.dtype == np.float64
    agree(single.params.means, double.params.means, rtol=1e-2)


def test_float32_is_float32_whatever_the_user_has_chosen(x, resp):
    """Whoever uses NumPyro in float64 has `jax_enable_x64` on."""
    usual = jaxem.fit(x, "EEE", 3, start=resp, dtype="float32")
    with jax.enable_x64(True):
        identical(jaxem.fit(x, "EEE", 3, start=resp, dtype="float32").params.means, usual.params.means)


def test_samples_follow_the_fit(fitted):
    rows = fitted.sample(20_000, seed=3)
    assert rows.shape == (20_000, 2)
    mean = fitted.params.weights @ fitted.params.means
    between = fitted.params.means - mean
    covariance = fitted.params.weights @ (fitted.params.covariances + between[:, :, None] * between[:, None, :]).reshape(3, 4)
    variance = np.diag(covariance.reshape(2, 2))
    assert (np.abs(rows.mean(0) - mean) < 5 * np.sqrt(variance / 20_000)).all()
    np.testing.assert_allclose(np.cov(rows.T), covariance.reshape(2, 2), rtol=0.05)
    np.testing.assert_array_equal(rows, fitted.sample(20_000, seed=3))
    assert not np.array_equal(rows[:10], fitted.sample(10, seed=4))


def test_answers_take_no_more_room_than_they_must(x, monkeypatch):
    """Densities of a million rows under a hundred components do not fit beside labels that do: rows go a few at a time."""
    fit = jaxem.fit(x, "EEE", 2, num_restarts=2, moves=False, noise=True)
    wanted = {ask: getattr(fit, ask)(x) for ask in ("predict", "predict_proba", "log_prob", "log_joint")}
    seen = []
    monkeypatch.setattr(density, "parts", functools.partial(parts, at_once=100))
    monkeypatch.setattr(
        density.rowwise, "log_prob", lambda *given, ask=rowwise.log_prob: (seen.append(len(given[2])), ask(*given))[1]
    )
    for ask, answer in wanted.items():
        np.testing.assert_allclose(getattr(fit, ask)(x), answer, rtol=1e-12)
        assert seen == [100, 100, 72]
        seen.clear()


def test_samples_of_many_sizes_share_programs(fitted):
    """Whatever their number, and in as many rows as were asked for."""
    fitted.sample(1)
    before = resampling.rows_from._cache_size()
    for n in (2, 33, 63, 64):
        assert fitted.sample(n).shape == (n, 2)
    assert resampling.rows_from._cache_size() == before
    for n in (rowwise.DRAWN[-1] + 60, rowwise.DRAWN[-1] + 61):
        rows = fitted.sample(n)
        assert len(np.unique(rows, axis=0)) == len(rows) == n
    assert resampling.rows_from._cache_size() <= before + 1


def test_what_a_caller_has_set_does_not_reach_in(fitted, x, resp):
    """Strictness, hunts for NaN and another random generator are for code of one's own; and nothing compiles again for them."""
    holed, seed = np.where(np.arange(x.size).reshape(x.shape) % 9 == 4, np.nan, x), jax.random.key(1)

    def answers():
        fit = jaxem.fit(x, "EEE", 3, start=resp)
        return fit.log_prob(x), fit.predict_proba(holed), fit.impute(holed), fit.sample(3, seed)

    wanted, before = answers(), rowwise._log_prob.compiled()._cache_size()
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.transfer_guard("disallow"),
        jax.debug_nans(True),
        jax.debug_infs(True),
        jax.default_prng_impl("rbg"),
        jax.threefry_partitionable(False),
    ):
        for here, there in zip(answers(), wanted, strict=True):
            np.testing.assert_array_equal(here, there)
    assert rowwise._log_prob.compiled()._cache_size() == before


def test_a_forked_process_is_told_that_it_cannot_compute(fitted, x, monkeypatch):
    """JAX would wait for ever. Only the number of the process changes here: a fork of all that tests have loaded is no light thing."""
    fitted.predict(x[:1])
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for ask in (fitted.predict, lambda rows: jaxem.fit(rows, "EEE", 2)):
        with pytest.raises(RuntimeError, match=r"^jaxem was used before this process was forked.* spawn or forkserver"):
            ask(x)


def test_progress_counts_what_has_ended(x):
    told, widths = [], set()

    def hear(*report):
        told.append(report)
        widths.add(str(jnp.ones(1).dtype))

    jaxem.fit(x, "VVV", 3, num_restarts=5, progress=hear)
    assert told
    assert widths == {str(jnp.ones(1).dtype)}  # what is the caller's runs under the settings of the caller
    phases = {}
    for phase, done, total, _ in told:
        before, same = phases.get(phase, (0, total))
        assert before < done <= total == same
        phases[phase] = done, total
    assert all(done == total for done, total in phases.values())
    assert phases["starts"] == (5, 5)
    lowest = [bic for *_, bic in told if not np.isnan(bic)]
    assert lowest == sorted(lowest, reverse=True)
    assert lowest[-1] == pytest.approx(jaxem.fit(x, "VVV", 3, num_restarts=5).bic, abs=0.01)
