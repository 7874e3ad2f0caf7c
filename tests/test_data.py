"""What data may be: their form, units, order, names and weights make no difference that they should not make."""

from __future__ import annotations

import dataclasses
import re
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from helpers import agree

import jaxem


QUICK = {"num_restarts": 4, "num_finalists": 2, "moves": False}


LINEAR = ["VVV", "EVV", "EEE", "VEE"]  # what follows any linear map of the data; ...
BY_COLUMN = ["VVI", "EVI", "EEI", "VEI"]  # ... scaling of single columns; ...
BY_ROTATION = ["VII", "EII", "VVE", "EVE", "VEV", "EEV"]  # ... rotation and one common scale
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])


def maps(code):
    """A linear map that the structure is to follow."""
    common = 250.0 * TURN
    return np.diag([1e3, 0.01]) if code in BY_COLUMN else common if code in BY_ROTATION else common @ np.diag([1e3, 0.01])


@pytest.mark.parametrize("code", LINEAR + BY_COLUMN + BY_ROTATION)
def test_units_and_origin_do_not_matter(x, resp, code):
    """As far as the structure allows: its fits follow the data."""
    by, shift = maps(code), np.array([1e5, -3.0])
    one = jaxem.fit(x, code, 3, start=resp, tol=1e-9)
    other = jaxem.fit(x @ by.T + shift, code, 3, start=resp, tol=1e-9)
    jacobian = len(x) * np.log(abs(np.linalg.det(by)))
    assert other.log_likelihood + jacobian == pytest.approx(one.log_likelihood, abs=1e-6)
    back = np.linalg.inv(by)
    size = np.sqrt(np.einsum("kii,kjj->kij", *[one.params.covariances] * 2))
    agree((other.params.means - shift) @ back.T, one.params.means, rtol=1e-5)
    agree(back @ other.params.covariances @ back.T / size, one.params.covariances / size, rtol=0, atol=1e-5)


@pytest.mark.parametrize("code", BY_COLUMN + BY_ROTATION)
def test_other_maps_change_the_model(x, resp, code):
    """Under a map that a structure does not follow it is another model: nothing is to be hidden by the internal scaling."""
    by = np.diag([30.0, 1.0]) if code in BY_ROTATION else TURN
    unit = (x - x.mean(0)) / x.std(0)
    one, other = (jaxem.fit(rows, code, 3, start=resp, tol=1e-6) for rows in (unit, unit @ by.T))
    assert abs(other.log_likelihood + len(x) * np.log(abs(np.linalg.det(by))) - one.log_likelihood) > 0.1


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


def test_a_table_of_pyarrow_is_read(fitted, faithful, resp):
    table = pytest.importorskip("pyarrow").Table.from_pandas(faithful)
    assert jaxem.fit(table, "VVV", 3, start=resp).columns == ("eruptions", "waiting")
    agree(fitted.log_prob(table.select(["waiting", "eruptions"])), fitted.log_prob(faithful))


def test_what_is_masked_is_missing(fitted, x):
    """Whatever lies under the mask; in rows, in columns and in a list of rows."""
    gone = np.arange(x.size).reshape(x.shape) % 7 == 3
    masked, holed = np.ma.masked_array(np.where(gone, 1e6, x), gone), np.where(gone, np.nan, x)
    wanted = fitted.log_prob(holed)
    words = np.ma.masked_array(np.where(gone, "none", x.astype(str)), gone)
    for rows in (masked, list(masked), words, pd.DataFrame(dict(zip(fitted.columns, masked.T, strict=True)))):
        assert (fitted.log_prob(rows) == wanted).all()
    whole = np.ma.masked_array(x.astype(int), gone)
    assert (fitted.predict(whole) == fitted.predict(np.where(gone, np.nan, x.astype(int)))).all()
    told = jaxem.fit(masked, "VVV", 1).warnings
    assert told == (f"{gone.sum()} of {gone.size} cells are missing: taken to be missing at random, given what is there.",)


def test_whole_numbers_and_truth_values_are_numbers(rng):
    frame = pd.DataFrame({"count": rng.poisson(5, 60), "flag": rng.uniform(size=60) < 0.5})
    fit = jaxem.fit(frame, "poisson", 1)
    assert fit.params.rates[0].tolist() == pytest.approx(frame.mean().tolist())
    assert fit.warnings == ("Column 'flag' holds truth values, taken for the numbers 0 and 1.",)
    flags = rng.uniform(size=(60, 5)) < 0.5
    for data in (flags, pd.DataFrame(flags, columns=["x1", "x2", "x3", "x4", "x5"], dtype="boolean")):
        told = jaxem.fit(data, "poisson", 1).warnings
        assert told == ("Columns 'x1', 'x2', 'x3' and 2 more hold truth values, taken for the numbers 0 and 1.",)
    assert jaxem.fit(frame.astype(float), "poisson", 1).warnings == ()


def test_new_rows_are_found_by_name_or_by_place(fitted, faithful, x):
    wanted = fitted.log_prob(x)
    agree(fitted.log_prob(faithful[["waiting", "eruptions"]]), wanted)
    agree(fitted.log_prob(faithful.assign(more="text")), wanted)
    agree(fitted.log_prob(x[:5]), wanted[:5])
    with pytest.raises(ValueError, match=r"the fit uses column 'waiting', which these data lack; they have \['eruptions'\]"):
        fitted.predict(faithful[["eruptions"]])
    with pytest.raises(ValueError, match=r"the fit has 2 columns \['eruptions', 'waiting'\], but these data have 3"):
        fitted.predict(np.ones((4, 3)))


def test_columns_are_looked_up_and_not_searched_for(fitted):
    """Names are looked at a few times each, however many there are: what is asked row by row has no time for their square."""
    looks = []

    class Name(str):
        def __str__(self):
            looks.append(self)
            return str.__str__(self)

    names = tuple(f"c{j}" for j in range(40))
    row = pd.DataFrame([range(40)], columns=pd.Index(map(Name, names[::-1]), dtype=object))
    wide = dataclasses.replace(fitted, columns=names, input_columns=names)
    np.testing.assert_array_equal(wide.rows(row), [range(39, -1, -1)])
    assert 0 < len(looks) <= 10 * len(names)


@pytest.mark.parametrize("family", ["EEE", "poisson"])
def test_no_rows_have_no_answers(family, faithful):
    """A service is asked so, now and then. Rows to fit, there must be."""
    data = faithful.round()
    fit = jaxem.fit(data, family, 1)
    for none in (data[:0], np.empty((0, 2)), data[:0].astype(object)):
        assert fit.predict(none).shape == fit.log_prob(none).shape == (0,)
        assert fit.predict(none).dtype == fit.predict(data[:1]).dtype
        assert fit.predict_proba(none).shape == fit.log_joint(none).shape == (0, 1)
    with pytest.raises(ValueError, match=r"^the fit has 2 columns .*, but these data have 3$"):
        fit.predict(np.empty((0, 3)))
    with pytest.raises(ValueError, match="at least one row"):
        jaxem.fit(data[:0])


def test_a_constant_column_is_left_out_and_said_so(faithful, x, resp):
    wide = faithful.assign(one=1.0)[["one", "waiting", "eruptions"]]
    fit = jaxem.fit(wide, "VVV", 3, start=resp)
    assert fit.warnings == ("Column 'one' is constant and was left out.",)
    assert fit.columns == ("waiting", "eruptions")
    wanted = jaxem.fit(x[:, ::-1], "VVV", 3, start=resp)
    assert fit.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-12)
    for rows in (wide, wide.to_numpy(), x[:, ::-1]):
        agree(fit.log_prob(rows), wanted.log_prob(x[:, ::-1]), rtol=1e-6)


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


SHORT = {"num_restarts": 2, "moves": False}


@pytest.mark.parametrize("weight", [1 / 272, 1e-9, 37.3])
def test_weights_that_are_no_frequencies_are_named(faithful, weight):
    """Their sum stands for n in every criterion; and the errors of very few rows have no bound, without a word from NumPy."""
    weights = np.full(len(faithful), weight)
    total = re.escape(f"{272 * weight:.3g}")
    told = f"The weights sum to {total} over 272 rows: weights are frequencies, .* rescale them to a mean of 1"
    for found in (
        jaxem.select(faithful, "VVV", [1, 2], weights=weights, **SHORT),
        jaxem.fit(faithful, "VVV", 2, weights=weights, **SHORT),
    ):
        assert re.match(told, found.warnings[0])
    table = found.standard_errors(faithful, weights=weights).table
    assert np.isfinite(table["standard_error"]).all()
    assert (table["lower"] < table["upper"]).all()


def test_weights_that_may_be_frequencies_are_not(faithful, rng):
    """Counts, rows set aside, weights around 1, and rows that count half."""
    n = len(faithful)
    for weights in (rng.integers(0, 4, n), np.arange(n) < 200, rng.uniform(0, 2, n) + 0.02, np.full(n, 0.5), np.full(n, 3)):
        assert jaxem.fit(faithful, "EEE", 1, weights=weights).warnings == ()


def test_large_counts_keep_their_digits(rng):
    """Counts of a thousand million: what components share must not drown what tells them apart."""
    counts = rng.poisson(np.repeat([1.0e9, 1.001e9], [60, 40])[:, None])
    fit = jaxem.fit(counts, "poisson", 2, tol=1e-6)
    assert fit.converged
    np.testing.assert_allclose(fit.params.rates[:, 0], [counts[:60].mean(), counts[60:].mean()], rtol=1e-12)
    np.testing.assert_allclose(fit.params.weights, [0.6, 0.4])


def clusters(rng):
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) * [1, 2] + [6, 3]])


HURT = {
    "offset": lambda rng: clusters(rng) + 1e8,
    "scales": lambda rng: clusters(rng) * [1e6, 1e-6],
    "duplicates": lambda rng: np.repeat(clusters(rng)[::4], 4, axis=0),
    "rounded": lambda rng: clusters(rng).round(),
    "two values": lambda rng: rng.integers(0, 2, size=(120, 2)),
    "tiny clusters": lambda rng: np.concatenate(
        [clusters(rng)[6:], np.repeat([[20.0, 20], [-20, 5]], 3, axis=0) + np.eye(6, 2) / 99]
    ),
    "outliers": lambda rng: np.concatenate([clusters(rng)[3:], [[1e4, 0], [0, -1e4], [3e4, 3e4]]]),
    "more columns than rows": lambda rng: rng.normal(size=(8, 11)),
}


SLOW = {"more columns than rows"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in HURT])
def test_data_that_hurt_are_reported_and_never_fatal(kind, rng):
    """Every structure has its row; what has a fit has finite numbers, what has none a reason; something can be chosen."""
    selection = jaxem.select(HURT[kind](rng), "gaussian", [1, 2, 3], num_restarts=4)
    assert len(selection.table) == 14 * 3
    assert not set(selection.table["status"]) & {"running", "max_steps", ""}
    for fit in selection.fits.values():
        assert np.isfinite([fit.log_likelihood, *fit.params.means.ravel(), *fit.params.covariances.ravel()]).all()
    assert not selection.best.spurious
