"""`jaxem.fit` and the `Fit` that comes of it: what it says of itself agrees with SciPy, and with itself."""

from __future__ import annotations

import dataclasses
import inspect
import types
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from cases import STRUCTURES, structured
from helpers import agree
from scipy import stats
from scipy.special import logsumexp

import jaxem
from jaxem.families import gaussian


QUICK = {"num_restarts": 4, "num_finalists": 2, "moves": False}


@pytest.fixture(scope="module")
def x(faithful):
    return faithful.to_numpy()


@pytest.fixture(scope="module")
def resp(x):
    """A soft start for K = 3."""
    rng = np.random.default_rng(5)
    return 0.8 * np.eye(3)[np.argsort(np.argsort(x[:, 1])) * 3 // len(x)] + 0.2 * rng.dirichlet(np.ones(3), len(x))


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


@pytest.mark.parametrize("code", ["VVV", "EEE", "VVI", "EEI", "VII", "EII"])
def test_units_and_origin_do_not_matter(x, resp, code):
    """Of every column for itself where the structure allows it, of all together for the spherical ones."""
    scale = np.array([1e3, 0.01]) if not code.endswith("II") else 250.0
    shift = np.array([1e5, -3.0])
    one = jaxem.fit(x, code, 3, start=resp, tol=1e-9)
    other = jaxem.fit(x * scale + shift, code, 3, start=resp, tol=1e-9)
    jacobian = len(x) * np.log(np.broadcast_to(scale, 2)).sum()
    assert other.log_likelihood + jacobian == pytest.approx(one.log_likelihood, abs=1e-6)
    agree((other.params.means - shift) / scale, one.params.means, rtol=1e-5)
    agree(other.params.covariances / np.outer(*[np.broadcast_to(scale, 2)] * 2), one.params.covariances, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("width", [1.0, 1e-4, 1e-6])
@pytest.mark.parametrize("code", ["VVV", "EEE"])
def test_any_linear_map_will_do_for_full_covariances(x, resp, code, width):
    """Also one that leaves the columns all but the same: fast kernels lose their digits there, and must notice."""
    unit = (x - x.mean(0)) / x.std(0)
    mixing = np.array([[1.0, 1.0], [1.0, 1.0 + width]])
    one, other = (jaxem.fit(rows, code, 3, start=resp, tol=1e-6) for rows in (unit, unit @ mixing))
    assert other.converged
    jacobian = len(x) * np.log(abs(np.linalg.det(mixing)))
    assert other.log_likelihood + jacobian == pytest.approx(one.log_likelihood, rel=0, abs=1e-4)


def test_rows_may_come_in_any_order(x, resp, rng):
    order = rng.permutation(len(x))
    one, other = jaxem.fit(x, "VVV", 3, start=resp), jaxem.fit(x[order], "VVV", 3, start=resp[order])
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)


class Arrayish:
    """Something that NumPy can read."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_data_come_in_many_forms(faithful, x, resp):
    wanted = jaxem.fit(x, "VVV", 3, start=resp)
    assert wanted.columns == ("x1", "x2")
    for data in (faithful, x.tolist(), x.astype(object), Arrayish(x), jax.numpy.asarray(x), faithful.astype(str)):
        fit = jaxem.fit(data, "VVV", 3, start=resp)
        agree(fit.params.asdict(), wanted.params.asdict(), rtol=1e-4)
    assert jaxem.fit(faithful, "VVV", 3, start=resp).columns == ("eruptions", "waiting")
    flat = [jaxem.fit(data, "V", 2, **QUICK) for data in (x[:, 1], x[:, [1]], faithful["waiting"], x[:, 1].tolist())]
    assert len({fit.log_likelihood for fit in flat}) == 1
    assert flat[2].columns == ("waiting",)


class Interchangeable:
    """A frame of another library, known by the interchange protocol only."""

    def __init__(self, frame):
        self.frame = frame

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated on this side of pandas
            return self.frame.__dataframe__(nan_as_null, allow_copy)


def test_frames_of_other_libraries_are_read(faithful, resp):
    fit = jaxem.fit(Interchangeable(faithful), "VVV", 3, start=resp)
    assert fit.columns == ("eruptions", "waiting")


def test_whole_numbers_and_truth_values_are_numbers(rng):
    frame = pd.DataFrame({"count": rng.poisson(5, 60), "flag": rng.uniform(size=60) < 0.5})
    assert jaxem.fit(frame, "poisson", 1).params.rates[0].tolist() == pytest.approx(frame.mean().tolist())


def test_new_rows_are_found_by_name_or_by_place(fitted, faithful, x):
    wanted = fitted.log_prob(x)
    agree(fitted.log_prob(faithful[["waiting", "eruptions"]]), wanted)
    agree(fitted.log_prob(faithful.assign(more="text")), wanted)
    agree(fitted.log_prob(x[:5]), wanted[:5])
    with pytest.raises(ValueError, match=r"the fit uses column 'waiting', which these data lack; they have \['eruptions'\]"):
        fitted.predict(faithful[["eruptions"]])
    with pytest.raises(ValueError, match=r"the fit has 2 columns \['eruptions', 'waiting'\], but these data have 3"):
        fitted.predict(np.ones((4, 3)))


def test_a_constant_column_is_left_out_and_said_so(faithful, x, resp):
    wide = faithful.assign(one=1.0)[["one", "waiting", "eruptions"]]
    fit = jaxem.fit(wide, "VVV", 3, start=resp)
    assert fit.warnings == ("Column 'one' is constant and was left out.",)
    assert fit.columns == ("waiting", "eruptions")
    wanted = jaxem.fit(x[:, ::-1], "VVV", 3, start=resp)
    assert fit.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-12)
    for rows in (wide, wide.to_numpy(), x[:, ::-1]):
        agree(fit.log_prob(rows), wanted.log_prob(x[:, ::-1]), rtol=1e-6)


def test_the_same_seed_gives_the_same_bits(x):
    one, other = jaxem.fit(x, "VVV", 3, seed=7), jaxem.fit(x, "VVV", 3, seed=7)
    agree(one.params.asdict(), other.params.asdict(), rtol=0, atol=0)
    assert one.log_likelihood == other.log_likelihood
    keys = [jaxem.fit(x, "VVV", 3, seed=key, **QUICK) for key in (jax.random.key(3), jax.random.PRNGKey(3))]
    assert keys[0].log_likelihood == keys[1].log_likelihood


def test_another_seed_starts_elsewhere(x):
    runs = [jaxem.select(x, "VVV", 4, seed=seed, init="random-rows", **QUICK).runs for seed in (0, 1)]
    assert set(runs[0]["log_likelihood"]).isdisjoint(runs[1]["log_likelihood"])


def test_whole_weights_are_repeated_rows(x, resp, rng):
    times = rng.integers(0, 4, len(x))
    weighted = jaxem.fit(x, "VVI", 3, start=resp, weights=times, tol=1e-9)
    repeated = jaxem.fit(np.repeat(x, times, axis=0), "VVI", 3, start=np.repeat(resp, times, axis=0), tol=1e-9)
    assert weighted.num_rows == repeated.num_rows == times.sum()
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-10)
    assert weighted.icl == pytest.approx(repeated.icl, rel=1e-7)
    agree(weighted.sizes, repeated.sizes)
    agree(weighted.params.asdict(), repeated.params.asdict(), rtol=1e-5, atol=1e-6)


def test_rows_of_weight_zero_are_invisible(x, resp):
    far = np.concatenate([x, np.full((9, 2), 1e4)])
    weights = np.concatenate([np.ones(len(x)), np.zeros(9)])
    start = np.concatenate([resp, np.full((9, 3), 1 / 3)])
    one, other = jaxem.fit(x, "VVV", 3, start=resp), jaxem.fit(far, "VVV", 3, start=start, weights=weights)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-10)
    agree(one.params.asdict(), other.params.asdict(), rtol=1e-6)
    searched = jaxem.fit(x, "VVV", 3), jaxem.fit(far, "VVV", 3, weights=weights)
    assert searched[0].log_likelihood == pytest.approx(searched[1].log_likelihood, abs=1e-2)


def test_weights_are_relative_to_a_row(x, resp):
    """Half the weight everywhere is half the log-likelihood, of the same fit."""
    whole, half = (jaxem.fit(x, "VVV", 3, start=resp, weights=np.full(len(x), w), tol=1e-9) for w in (1.0, 0.5))
    assert half.log_likelihood == pytest.approx(whole.log_likelihood / 2, rel=1e-9)
    agree(half.params.asdict(), whole.params.asdict(), rtol=1e-4, atol=1e-6)


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


def test_progress_counts_what_has_ended(x):
    told = []
    jaxem.fit(x, "VVV", 3, num_restarts=5, progress=lambda *report: told.append(report))
    assert told
    phases = {}
    for phase, done, total in told:
        before, same = phases.get(phase, (0, total))
        assert before < done <= total == same
        phases[phase] = done, total
    assert all(done == total for done, total in phases.values())
    assert phases["starts"] == (5, 5)
