"""What is wrong is said in one sentence: which argument, what was expected, what came; and from here, not from inside JAX."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import jaxem
from jaxem.families import Poisson
from jaxem.families.own import METHODS


PACKAGE = str(pathlib.Path(jaxem.__file__).parent)
X = np.random.default_rng(0).normal(size=(30, 2))


def refused(call, error, message, *arguments, **options):
    """The call raises this very sentence from the package's own code, with nothing chained to it that a reader would see."""
    with pytest.raises(error, match=message) as caught:
        call(*arguments, **options)
    assert caught.traceback[-1].path.is_relative_to(PACKAGE), caught.traceback[-1]
    assert not any("site-packages/jax/" in str(entry.path) for entry in caught.traceback)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400


class LazyFrame:
    """What polars calls by this name: it has columns, but no cells yet."""

    columns = ("a", "b")

    def __getitem__(self, name):
        raise AssertionError(name)


def with_cell(value, row=6, column=1):
    x = X.copy()
    x[row, column] = value
    return x


FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})

DATA = {
    "infinite": (with_cell(np.inf), ValueError, r"^row 7, column 'x2' is infinite; "),
    "minus infinite": (with_cell(-np.inf), ValueError, r"^row 7, column 'x2' is infinite"),
    "blank": (FRAME.assign(b=[None] * 30), ValueError, r"^column 'b' has no cell that is not missing; leave it out$"),
    "blank array": (X * [1.0, np.nan], ValueError, r"^column 'x2' has no cell that is not missing; leave it out$"),
    "named": (FRAME.assign(b=np.inf), ValueError, r"^row 1, column 'b' is infinite.*30 such cells in all"),
    "text": (FRAME.assign(c="red"), TypeError, r"^column 'c' is not numeric \(it holds 'red'\); leave it out or encode it"),
    "text array": ([["1", "x"], ["2", "y"]], TypeError, r"^column 'x2' is not numeric \(it holds 'x'\)"),
    "dates": (FRAME.assign(c=pd.Timestamp("2020-01-01")), TypeError, r"^column 'c' is not numeric"),
    "complex": (X + 1j, TypeError, r"^column 'x1' is not numeric"),
    "category": (
        FRAME.assign(c=pd.Categorical([1, 2] * 15)),
        TypeError,
        r"^column 'c' is categorical: .*even where they look like",
    ),
    "text category": (
        FRAME.assign(c=pd.Categorical(["a"] * 30)),
        TypeError,
        r"^column 'c' is categorical: .*; leave it out, or make",
    ),
    "categories": (pd.Categorical([1, 2, 5] * 10), TypeError, r"^column 'x1' is categorical: .* with astype\(float\)$"),
    "category series": (pd.Series([1, 2, 5] * 10, name="s", dtype="category"), TypeError, r"^column 's' is categorical: "),
    "one row": (X[:1], ValueError, r"^the data have one row, and one row is too few to cluster: give two or more$"),
    "one number": ([3.0], ValueError, r"^the data have one row, and one row is too few"),
    "namesakes": (pd.DataFrame(X, columns=["a", "a"]), ValueError, r"^column.* 'a'"),
    "three axes": (np.ones((3, 2, 2)), ValueError, r"^data must have shape \(n, d\) or \(n,\), got shape \(3, 2, 2\)$"),
    "a number": (3.0, ValueError, r"^data must have shape \(n, d\) or \(n,\), got shape \(\)$"),
    "no rows": (np.ones((0, 2)), ValueError, r"^data must have at least one row and one column, got shape \(0, 2\)$"),
    "no columns": (np.ones((5, 0)), ValueError, r"^data must have at least one"),
    "empty": ([], ValueError, r"^data must have at least one row"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, r"^data must have shape \(n, d\) or \(n,\)"),
    "nothing": (None, (TypeError, ValueError), r"^data must"),
    "a path": ("rows.csv", TypeError, r"^data must be an array or a data frame, and are a path: read the file first"),
    "a dict": ({"a": [1.0, 2.0]}, TypeError, r"^data must be .*, and are a mapping: make it a data frame"),
    "sparse": (sparse.eye(3), TypeError, r"^data must be .*, and are a sparse matrix: pass data\.toarray\(\)$"),
    "records": (FRAME.to_records(index=False), TypeError, r"^data must be .*, and are a record array: make it a data frame"),
    "a generator": (
        (row for row in X),
        TypeError,
        r"^data must be .*, and are an iterator: make it an array, for instance with",
    ),
    "a lazy frame": (LazyFrame(), TypeError, r"^data must be .*, and are a lazy frame: call its \.collect\(\) first$"),
    "too large": (
        X * [1.0, 1e200],
        ValueError,
        r"^column 'x2' has numbers up to \de\+200, and squares of these are beyond float64: ",
    ),
    "too small": (
        X * [1.0, 1e-200],
        ValueError,
        r"^column 'x2' has numbers that differ by \de-200, .*: give it in other units$",
    ),
    "all constant": (np.ones((9, 2)), ValueError, r"^every column is constant \(x1, x2\): there is nothing to cluster$"),
}


@pytest.mark.parametrize("call", [jaxem.fit, jaxem.select])
@pytest.mark.parametrize("name", DATA)
def test_data(call, name):
    data, error, message = DATA[name]
    refused(call, error, message, data, "VVV", 2)


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "log_prob"])
def test_rows_to_predict(ask, fitted, earthquakes):
    """What a fit refuses of its rows it refuses of others, wherever they stand; a missing cell is neither."""
    counts = getattr(jaxem.fit(earthquakes, "poisson", 2, num_restarts=2, moves=False), ask)
    for bad in (1.5, -1.0):
        with pytest.raises(ValueError, match=rf"^a Poisson mixture needs counts .*, but row 3, column 'count' is {bad:g}$"):
            counts([[4.0], [np.nan], [bad]])
    assert np.isfinite(counts([[4.0], [np.nan]])).all()
    with pytest.raises(
        ValueError, match=r"^column 'waiting' has numbers up to 1e\+155, and squares of these are beyond float64: "
    ):
        getattr(fitted, ask)([[2.0, 50.0], [2.0, -1e155]])
    assert np.isfinite(getattr(fitted, ask)([[2.0, np.nan], [np.nan, np.nan], [2.0, 1e140]])).all()


OPTIONS = {
    "K = 0": ({"num_components": 0}, ValueError, r"^num_components must be at least 1, got 0$"),
    "K < 0": ({"num_components": -3}, ValueError, r"^num_components must be at least 1, got -3$"),
    "K half": ({"num_components": 2.5}, TypeError, r"^num_components must be a whole number, got 2\.5$"),
    "K text": ({"num_components": "3"}, TypeError, r"^num_components must be a whole number, got '3'$"),
    "K true": ({"num_components": True}, TypeError, r"^num_components must be a whole number, got True$"),
    "restarts": ({"num_restarts": 0}, ValueError, r"^num_restarts must be at least 1, got 0$"),
    "finalists": ({"num_finalists": 0}, ValueError, r"^num_finalists must be at least 1, got 0$"),
    "steps": ({"max_steps": 0}, ValueError, r"^max_steps must be at least 1, got 0$"),
    "tol 0": ({"tol": 0}, ValueError, r"^tol must be a positive number of nats, got 0$"),
    "tol < 0": ({"tol": -1e-3}, ValueError, r"^tol must be a positive number of nats, got -0\.001$"),
    "tol nan": ({"tol": np.nan}, ValueError, r"^tol must be a positive number of nats, got nan$"),
    "tol text": ({"tol": "small"}, ValueError, r"^tol must be a positive number of nats, got 'small'$"),
    "init": ({"init": "kmeans"}, ValueError, r"^init must be one of 'portfolio', 'kmeans\+\+'.*, got 'kmeans'$"),
    "init list": ({"init": ["ward"]}, ValueError, r"^init must be one of 'portfolio'.*, got \['ward'\]$"),
    "seed < 0": ({"seed": -1}, ValueError, r"^seed must not be negative, got -1$"),
    "seed half": ({"seed": 0.5}, TypeError, r"^seed must be an int or a JAX key, got float$"),
    "seed half, NumPy's": ({"seed": np.float64(1.5)}, TypeError, r"^seed must be an int or a JAX key, got float64$"),
    "seeds halves": ({"seed": np.array([2.7, -1.0])}, TypeError, r"^seed must be an int or a JAX key, got ndarray$"),
    "seed text": ({"seed": "a"}, TypeError, r"^seed must be an int or a JAX key, got str$"),
    "seed none": ({"seed": None}, TypeError, r"^seed must be an int or a JAX key, got NoneType$"),
    "dtype": ({"dtype": "int32"}, ValueError, r"^dtype must be float64 or float32, got 'int32'$"),
    "no dtype": ({"dtype": "double-ish"}, (ValueError, TypeError), r"^dtype must be float64 or float32, got 'double-ish'$"),
    "weights < 0": ({"weights": -np.ones(30)}, ValueError, r"^weights must be finite and not negative.*row 1 is -1$"),
    "weights nan": ({"weights": with_cell(np.nan)[:, 1]}, ValueError, r"^weights must be finite and not negative, but"),
    "weights short": ({"weights": np.ones(29)}, ValueError, r"^weights must have one entry for each of the 30 rows.*\(29,\)$"),
    "weights flat": ({"weights": np.ones((30, 1))}, ValueError, r"^weights must have one entry for each .* shape \(30, 1\)$"),
    "weights huge": (
        {"weights": np.full(30, 1e308)},
        ValueError,
        r"^weights must have a finite sum, .* 1e\+308 it overflows; ",
    ),
    "weights 0": ({"weights": np.zeros(30)}, ValueError, r"^weights must not all be zero$"),
    "weights of one": ({"weights": np.eye(30)[3]}, ValueError, r"^only one row has a positive weight, and one row is too few"),
    "weights masked": (
        {"weights": np.ma.masked_array(np.ones(30), np.arange(30) == 4)},
        ValueError,
        r"^weights must be finite and not negative, but the weight of row 5 is nan$",
    ),
    "labels masked": (
        {"labels": np.ma.masked_array(np.zeros(30, int), np.arange(30) == 4)},
        ValueError,
        r"^labels must be component numbers from 0, .*, but the label of row 5 is nan; put -1 in the place of NaN$",
    ),
    "weights text": ({"weights": ["a"] * 30}, (TypeError, ValueError), r"^weights must be "),
}


@pytest.mark.parametrize("call", [jaxem.fit, jaxem.select])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(call, name):
    options, error, message = OPTIONS[name]
    refused(call, error, message, X, "VVV", **({"num_components": 2} | options))


FAMILIES = {
    "near miss": ("VVW", ValueError, r"^unknown family 'VVW': did you mean 'VVV'\?$"),
    "word": ("poison", ValueError, r"^unknown family 'poison': did you mean 'poisson'\?$"),
    "case": ("Spherica", ValueError, r"^unknown family 'Spherica': did you mean 'spherical'\?$"),
    "far off": (
        "qqqqqq",
        ValueError,
        r"^unknown family 'qqqqqq': known are gaussian, EII, .*poisson, categorical, student, .*tV$",
    ),
    "one column": ("V", ValueError, r"^family 'V' is for data of one column, and these have 2; use 'VVV'$"),
    "number": (3, TypeError, r"^a family is a name or an object with the Family methods, got 3$"),
    "none": (None, TypeError, r"^a family is a name or an object with the Family methods, got None$"),
}


@pytest.mark.parametrize("call", [jaxem.fit, jaxem.select])
@pytest.mark.parametrize("name", FAMILIES)
def test_family(call, name):
    family, error, message = FAMILIES[name]
    refused(call, error, message, X, family, 2)


def test_families():
    refused(jaxem.select, ValueError, r"^families must name at least one family, got an empty list$", X, [], 2)
    refused(jaxem.fit, ValueError, r"^fit takes one family, got 14 \(EII, .*\); use select to compare them$", X, "gaussian", 2)
    refused(jaxem.select, ValueError, r"^unknown family 'EEF': did you mean 'EE[EIV]'\?$", X, ["VVV", "EEF"], 2)


@pytest.mark.parametrize("family", ["poisson", Poisson()], ids=["name", "object"])
@pytest.mark.parametrize(("value", "told"), [(-1.0, "-1"), (2.5, "2.5")])
def test_counts(family, value, told):
    x = np.arange(20.0).reshape(10, 2)
    x[3, 1] = value
    message = rf"^a Poisson mixture needs counts \(whole numbers, 0 or more\), but row 4, column 'x2' is {told}$"
    refused(jaxem.fit, ValueError, message, x, family, 2)


# A family that takes complete rows only: it has all that it must have, and nothing else.
NeedsAll = type("NeedsAll", (), {"name": "needs-all", "standardise": True} | dict.fromkeys(METHODS, print))
jax.tree_util.register_static(NeedsAll)


@pytest.mark.parametrize("call", [jaxem.fit, jaxem.select])
def test_missing_cells_for_a_family_that_takes_none(call):
    wanted = r"^row 7, column 'x2' is missing; family 'needs-all' needs complete rows: drop or fill it"
    refused(call, ValueError, wanted + "$", with_cell(np.nan), NeedsAll(), 2)
    refused(call, ValueError, wanted + r" \(2 such cells in all\)$", np.vstack([with_cell(np.nan)] * 2), NeedsAll(), 2)


def test_selection_options():
    known = "'aic', 'aicc', 'bic', .*'sbic'"
    refused(jaxem.select, ValueError, rf"^criterion must be one of {known}, got 'BIC2'$", X, "VVV", 2, criterion="BIC2")
    refused(jaxem.select, ValueError, r"^num_components must hold at least one number, got none$", X, "VVV", [])
    refused(jaxem.select, ValueError, r"^num_components must be at least 1, got 0$", X, "VVV", range(3))
    refused(jaxem.select, TypeError, r"^num_components must be a whole number, got 1\.5$", X, "VVV", [1, 1.5])


def test_too_few_rows_for_a_fit():
    x = np.repeat([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]], 4, axis=0)
    refused(jaxem.fit, ValueError, r"^num_components is 4, but the data have only 3 distinct rows$", x, "EEE", 4)


@pytest.mark.parametrize(("family", "told"), [("VVV", "VVV with num_components 3 needs at least 9 rows of 2 columns, got 7; ")])
def test_too_few_rows_for_a_structure(family, told):
    refused(jaxem.fit, RuntimeError, f"^all 2 runs failed: {told}", X[:7], family, 3, num_restarts=2, moves=False)


def uneven(sums=1.0):
    start = np.full((30, 2), 0.5)
    start[4] *= sums
    return start


STARTS = {
    "shape": (
        np.full((30, 3), 1 / 3),
        r"^start must be responsibilities of shape \(30, 2\) or a params object, got shape \(30, 3\)$",
    ),
    "transposed": (uneven().T, r"^start must be responsibilities of shape \(30, 2\).*got shape \(2, 30\)$"),
    "sum": (
        uneven(0.8),
        r"^start: responsibilities must be probabilities that sum to 1 in every row, and row 5 is \[0\.4 0\.4\]$",
    ),
    "nan": (uneven(np.nan), r"^start: responsibilities must be .* and row 5 is \[nan nan\]$"),
    "negative": (uneven() + np.array([1.0, -1.0]), r"^start: responsibilities must be .* and row 1 is \[ 1\.5 -0\.5\]$"),
    "empty": (
        np.eye(2)[np.zeros(30, int)],
        r"^start: component 1 \(from 0\) has no responsibility for any row, and EM would never ",
    ),
    "text": ("VVV", r"^start must be responsibilities of shape"),
}


@pytest.mark.parametrize("name", STARTS)
def test_start(name):
    start, message = STARTS[name]
    refused(jaxem.fit, ValueError, message, X, "VVV", 2, start=start)


GOOD = {"weights": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": np.stack([np.eye(2)] * 2)}
PARAMS = {
    "components": ({"weights": [1.0]}, r"^start: weights must have shape \(2,\), got shape \(1,\)$"),
    "columns": ({"means": np.zeros((2, 3))}, r"^start: means must have shape \(2, 2\), got shape \(2, 3\)$"),
    "flat": ({"covariances": np.ones((2, 2))}, r"^start: covariances must have shape \(2, 2, 2\), got shape \(2, 2\)$"),
    "nan": ({"means": np.full((2, 2), np.nan)}, r"^start: means must be finite$"),
    "weight": ({"weights": [1.0, 0.0]}, r"^start: weights must be positive$"),
    "indefinite": (
        {"covariances": -GOOD["covariances"]},
        r"covariances must be symmetric positive definite, and at least one is not",
    ),
    "skew": ({"covariances": np.stack([[[1, 0.5], [0.0, 1]]] * 2)}, r"covariances must be symmetric positive definite"),
}


@pytest.mark.parametrize("name", PARAMS)
def test_start_params(name):
    change, message = PARAMS[name]
    refused(jaxem.fit, ValueError, message, X, "VVV", 2, start=jaxem.Params(**(GOOD | change)))


def test_start_params_of_another_family():
    start = jaxem.Params(weights=[0.5, 0.5], rates=[[1.0], [2.0]])
    refused(jaxem.fit, ValueError, r"^start: means must have shape \(2, 2\), got nothing$", X, "VVV", 2, start=start)


def test_structure_of_a_start_is_the_familys():
    """Params that break the family's constraint are no start for it."""
    start = jaxem.Params(**(GOOD | {"covariances": np.stack([np.eye(2), 2 * np.eye(2)])}))
    fit = jaxem.fit(X, "EEE", 2, start=start, max_steps=1)
    np.testing.assert_allclose(fit.params.covariances[0], fit.params.covariances[1])


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_sample(fitted, n):
    refused(fitted.sample, (TypeError, ValueError), r"^n must be (at least 1|a whole number), got ", n)


def test_new_rows(fitted):
    refused(
        fitted.predict, ValueError, r"^the fit has 2 columns \['eruptions', 'waiting'\], but these data have 1$", [1.0, 2.0]
    )
    refused(fitted.log_prob, TypeError, r"^column 'x2' is not numeric \(it holds 'a'\)", [[1.0, "a"]])
