"""Categorical components: names and numbers, errors at the edge, missing cells, pictures, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from scipy.special import logsumexp
from test_cli import run

import jaxem
from jaxem import plot, tabular


TRUTH = np.array(  # three classes in five columns; the last has three categories, of which the first class never shows one
    [
        [[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.5, 0.5, 0.0]],
        [[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0], [0.2, 0.2, 0.6]],
        [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0], [0.2, 0.6, 0.2]],
    ]
)
WEIGHTS = np.array([0.5, 0.3, 0.2])
NAMES = [["never", "often"], ["no", "yes"], ["bad", "good"], ["left", "right"], ["high", "low", "mid"]]


@pytest.fixture(scope="module")
def codes():
    """600 rows, (600, 5)."""
    rng = np.random.default_rng(3)
    chance = TRUTH[rng.choice(3, 600, p=WEIGHTS)].cumsum(axis=2)
    return (rng.random((600, 5, 1)) > chance[:, :, :2]).sum(axis=2).astype(float)


@pytest.fixture(scope="module")
def named(codes):
    """The same by name."""
    columns = {f"q{j + 1}": [own[int(code)] for code in codes[:, j]] for j, own in enumerate(NAMES)}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def chosen(named):
    return jaxem.select(named, "categorical", range(1, 5), num_restarts=10)


@pytest.fixture(scope="module")
def fit(chosen):
    return chosen.best


def test_the_classes_are_found(chosen, fit):
    assert (fit.num_components, fit.trust, fit.num_params) == (3, "high", 2 + 3 * 6)
    np.testing.assert_allclose(fit.params.weights, WEIGHTS, atol=0.06)
    np.testing.assert_allclose(fit.params.probabilities, TRUTH, atol=0.12)


def test_numbers_and_names_are_one(codes, named, fit):
    same = {"num_restarts": 10}
    by_number = jaxem.fit(codes, "categorical", 3, **same)
    assert by_number.categories == {}
    assert fit.categories == {f"q{j + 1}": own for j, own in enumerate(NAMES)}
    np.testing.assert_allclose(by_number.params.probabilities, fit.params.probabilities, atol=2e-3)
    for rows in (named, codes, named.to_numpy(), named[["q3", "q1", "q2", "q5", "q4"]], named.astype("category")):
        assert (fit.predict(rows) == fit.predict(codes)).all()
    assert fit.predict(named.head(0)).shape == (0,)


def test_order_of_the_names_and_of_numbers_means_nothing(codes, fit):
    """Numbered otherwise, in every column, and with a number that no row has."""
    turned = codes.copy()
    turned[:, :4] = 1 - turned[:, :4]
    turned[:, 4] = np.array([3.0, 0.0, 1.0])[codes[:, 4].astype(int)]
    other = jaxem.fit(turned, "categorical", 3, num_restarts=10)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, abs=2e-3)
    assert other.num_params == fit.num_params
    assert not other.params.probabilities[:, 4, 2].any()
    np.testing.assert_allclose(other.params.probabilities[:, :4, :2], fit.params.probabilities[:, :4, 1::-1], atol=5e-3)


def test_own_order_of_a_frames_categories(named):
    kinds = pd.CategoricalDtype(["unknown", "low", "mid", "high"], ordered=True)
    frame = named.assign(
        q5=named.q5.astype(kinds), q2=named.q2 == "yes", q4=named.q4.map({"left": 1, "right": 2}).astype("category")
    )
    fit = jaxem.fit(frame, "categorical", 2, num_restarts=2, moves=False)
    assert (fit.categories["q5"], fit.categories["q2"]) == (["low", "mid", "high"], ["False", "True"])
    assert fit.categories["q4"] == ["1", "2"]
    plain = frame.assign(q4=frame.q4.astype(float), q5=frame.q5.astype(str))
    np.testing.assert_array_equal(fit.predict_proba(plain), fit.predict_proba(frame))


def test_missing_names():
    """However a frame says that there is none."""
    columns = {
        "a": pd.Series(["x", None, "y", "x"] * 5, dtype=object),
        "b": pd.Series(["u", "v", pd.NA, "v"] * 5, dtype="string"),
        "c": pd.Series([True, False, True, None] * 5, dtype="boolean"),
        "d": pd.Series(["m", "n", np.nan, "n"] * 5, dtype="category"),
    }
    fit = jaxem.fit(pd.DataFrame(columns), "categorical", 1)
    assert fit.categories == {"a": ["x", "y"], "b": ["u", "v"], "c": ["False", "True"], "d": ["m", "n"]}
    np.testing.assert_allclose(fit.params.probabilities[0, :, 0], [2 / 3, 1 / 3, 1 / 3, 1 / 3], atol=1e-6)


def test_weights_repeat_rows(codes, fit):
    patterns, counts = np.unique(codes, axis=0, return_counts=True)
    folded = jaxem.fit(patterns, "categorical", 3, weights=counts, start=fit.params)
    assert folded.log_likelihood == pytest.approx(fit.log_likelihood, abs=2e-3)


def test_rows_that_are_alike_are_one(codes, fit):
    """What is computed on are patterns, with their labels and holes; what is said is of rows."""
    label = np.where(np.arange(600) < 40, fit.predict(codes), -1)
    holed = np.where(np.arange(3000).reshape(600, 5) % 31 == 0, np.nan, codes)
    folded = tabular.read(holed, labels=label, missing=True).folded()
    rows = pd.DataFrame(holed).assign(label=label).value_counts(dropna=False)
    there = pd.Series(folded.weight, pd.MultiIndex.from_frame(pd.DataFrame(folded.x).assign(label=folded.label)))
    assert sorted(zip(map(str, there.index), there, strict=True)) == sorted(zip(map(str, rows.index), rows, strict=True))
    wide = np.tile(np.random.default_rng(0).integers(3, size=(50, 90)), (2, 1))  # more patterns than whole numbers
    np.testing.assert_array_equal(tabular.read(wide).folded().weight, np.full(50, 2.0))
    sel = jaxem.select(holed, "categorical", [3], labels=label, num_restarts=2, moves=False)
    assert (sel.best.num_rows, sel.settings["weighted"], len(folded.x) < 300) == (600, False, True)
    apart = jaxem.fit(holed, "categorical", 3, labels=label, start=sel.best.params)
    assert apart.log_likelihood == pytest.approx(sel.best.log_likelihood, abs=1e-3)
    codes = codes.copy()
    codes[-1, 4] = 0.5
    with pytest.raises(ValueError, match=r"row 600, column 'x5' is 0\.5"):
        jaxem.fit(codes, "categorical", 2)


@pytest.fixture(scope="module")
def errors(fit, named):
    return fit.standard_errors(named)


def test_errors_are_those_of_the_hessian(codes, fit, errors):
    """By finite differences of the log-likelihood in NumPy, in logits; what is 0 stays 0."""
    held = fit.params.probabilities < 1e-6
    free = [[np.flatnonzero(~column) for column in own] for own in held]

    def unpack(theta):
        places = iter(np.split(theta[2:], np.cumsum([len(own) - 1 for row in free for own in row])))
        probabilities = np.zeros_like(TRUTH)
        for k, row in enumerate(free):
            for j, own in enumerate(row):
                logits = np.r_[0.0, next(places)]
                probabilities[k, j, own] = np.exp(logits - logsumexp(logits))
        logits = np.r_[0.0, theta[:2]]
        return np.exp(logits - logsumexp(logits)), probabilities

    patterns, counts = np.unique(codes.astype(int), axis=0, return_counts=True)

    def loss(theta):
        weights, probabilities = unpack(theta)
        each = np.prod([probabilities[:, j, patterns[:, j]] for j in range(5)], axis=0)
        return -counts @ np.log(weights @ each)

    chance = fit.params.probabilities
    begin = [np.log(fit.params.weights[1:] / fit.params.weights[0])]
    begin += [np.log(chance[k, j, own[1:]] / chance[k, j, own[0]]) for k, row in enumerate(free) for j, own in enumerate(row)]
    best = optimize.minimize(loss, np.concatenate(begin), method="BFGS", options={"gtol": 1e-7}).x
    slope = optimize.approx_fprime
    hessian = slope(best, lambda theta: slope(theta, loss, 1e-5), 1e-4)
    covariance = np.linalg.inv((hessian + hessian.T) / 2)
    jacobian = slope(best, lambda theta: np.concatenate([part.ravel() for part in unpack(theta)]), 1e-6)
    wanted = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
    ours = np.concatenate([errors.params.weights, errors.params.probabilities.ravel()])
    np.testing.assert_allclose(ours, wanted, rtol=0.02, atol=1e-4)
    assert held[..., :2].any() or held[:, 4].any()


def test_errors_are_listed_by_name(fit, errors):
    rows = errors.table
    assert set(rows["columns"]) >= {"", "q1, never", "q5, mid"}
    assert "q1, 2" not in set(rows["columns"])
    assert len(rows) == 3 + 3 * 11
    assert ((rows["lower"] >= 0) & (rows["upper"] <= 1)).all()
    assert "at the end of the range" in errors.warnings[0]
    assert (rows["standard_error"] == 0).sum() == (fit.params.probabilities[:, 4] < 1e-6).sum()


def test_replicates_have_the_same_names(fit, named, errors):
    again = fit.standard_errors(named, "weighted-bootstrap", num_replicates=20)
    assert again.labels == errors.labels
    assert again.replicates.shape == (20, len(errors.labels))


def test_missing_cells(codes, fit):
    rng = np.random.default_rng(0)
    gone = rng.random(codes.shape) < 0.2
    holed = np.where(gone, np.nan, codes)
    other = jaxem.fit(holed, "categorical", 3, num_restarts=4)
    weights, probabilities = other.params.weights, other.params.probabilities
    each = np.ones((3, len(codes)))
    for j in range(5):
        own = np.where(gone[:, j], 0, codes[:, j]).astype(int)
        each *= np.where(gone[:, j], 1.0, probabilities[:, j, own])
    assert other.log_likelihood == pytest.approx(np.log(weights @ each).sum(), abs=1e-6)
    np.testing.assert_allclose(other.params.probabilities, fit.params.probabilities, atol=0.2)


def test_guesses_are_categories(fit):
    """The most probable one given the rest of the row, and draws with its probabilities."""
    row = np.array([[1.0, 1.0, 1.0, 0.0, np.nan]])
    resp = fit.predict_proba(row)
    chance = resp[0] @ fit.params.probabilities[:, 4]
    np.testing.assert_array_equal(fit.impute(row)[0], [1, 1, 1, 0, chance.argmax()])
    draws = fit.impute(np.repeat(row, 20, axis=0), num_draws=100)[..., 4]
    np.testing.assert_allclose(np.bincount(draws.ravel().astype(int), minlength=3) / 2000, chance, atol=0.05)


def test_samples_are_rows(codes, fit):
    rows = fit.sample(2000, seed=1)
    assert [np.unique(column).tolist() for column in rows.T] == [[0, 1]] * 4 + [[0, 1, 2]]
    np.testing.assert_allclose(rows.mean(axis=0), codes.mean(axis=0), atol=0.08)


def test_saved_and_read(fit, named, tmp_path):
    for file in ("fit.json", "fit.npz"):
        fit.save(tmp_path / file)
        again = jaxem.load(tmp_path / file)
        assert again.categories == fit.categories
        np.testing.assert_array_equal(again.predict_proba(named), fit.predict_proba(named))
    record = json.loads((tmp_path / "fit.json").read_text())
    del record["arrays"]["params.probabilities"]
    with pytest.raises(ValueError, match="damaged"):
        jaxem.Fit.from_json(json.dumps(record))


def test_what_a_selection_can_do(chosen, named):
    assert chosen.cross_validate(named, 3, num_restarts=1).best[1] == 3
    assert chosen.merge(named).elbow <= 3
    assert jaxem.selection.bootstrap_lrt(named, "categorical", 2, num_replicates=19, num_restarts=1).p_value <= 0.05


def test_tables_speak_names(fit, chosen, named, tmp_path):
    assert "often 0." in str(fit)
    assert "the most probable category" in str(fit)
    chosen.report(tmp_path / "page.html", named)
    page = (tmp_path / "page.html").read_text()
    for said in ("never 0.", "q5, mid", "the most probable categories"):
        assert said in page


def test_pictures(fit, errors, named):
    ax = plot.profile(fit, errors)
    heights = ax.get_lines()[0].get_ydata()
    shown = fit.params.probabilities[0][[0, 1, 2, 3, 4, 4, 4], [1, 1, 1, 1, 0, 1, 2]]
    np.testing.assert_allclose(heights, shown)
    wanted = "q1: often, q2: yes, q3: good, q4: right, q5: high, q5: low, q5: mid"
    assert ", ".join(tick.get_text() for tick in ax.get_xticklabels()) == wanted
    for ax in (plot.clusters(fit, named, columns=("q1", "q5")), plot.uncertainty(fit, named, columns=("q1", "q5"))):
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["never", "often"]
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["high", "low", "mid"]
    plot.pairs(fit, named)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.array([[0.5], [1.0]]), "row 1, column 'x1' is 0.5; pandas.factorize"),
        (np.array([[0.0], [-1.0]]), "row 2, column 'x1' is -1; put NaN where it is missing"),
        (np.array([[0.0], [1000.0]]), r"numbered 0, 1, … \(up to 999\), but row 2"),
        (pd.DataFrame({"a": ["x", "y"], "b": [0.25, 1.0]}), "row 1, column 'b' is 0.25"),
    ],
)
def test_what_are_no_categories(rows, said):
    with pytest.raises(ValueError, match=said):
        jaxem.fit(rows, "categorical", 2)


def test_rows_of_unknown_categories_are_refused(fit, named, codes):
    with pytest.raises(ValueError, match="row 2, column 'q5' is 'none', and the fit knows 'high', 'low', 'mid'; put None"):
        fit.predict(named.head(2).assign(q5=["mid", "none"]))
    other = codes[:2].copy()
    other[1, 0] = 2
    with pytest.raises(ValueError, match="row 2, column 'q1' is in category 2, in which no row of the fit was"):
        fit.predict(other)
    assert np.isfinite(fit.log_prob(named.head(2).assign(q5=["mid", None]))).all()


def test_more_parameters_than_there_is_to_know(codes):
    """Three columns of two categories have seven free probabilities: two classes have as many parameters, three have eleven."""
    few = jaxem.select(codes[:, :3], "categorical", [2, 3], num_restarts=2, moves=False)
    assert few["categorical", 2].warnings == ()
    assert "has 11 parameters, and what rows of these columns can show has 7" in few["categorical", 3].warnings[0]


def test_what_it_has_not_is_refused(named, fit):
    with pytest.raises(ValueError, match="noise has a density, and 'categorical'"):
        jaxem.fit(named, "categorical", 2, noise=True)
    with pytest.raises(ValueError, match="the family 'categorical' knows none"):
        jaxem.fit(named, "categorical", 2, prior="fraley-raftery")
    with pytest.raises(ValueError, match="column 'q1' holds names, which family 'VVI' would take for numbers"):
        jaxem.select(named, ["categorical", "VVI"], 2)
    with pytest.raises(TypeError, match="names of categories are for the family 'categorical'"):
        jaxem.fit(named, "poisson", 2)
    bad = jaxem.Params(weights=[0.5, 0.5], probabilities=np.full((2, 5, 3), 0.5))
    with pytest.raises(ValueError, match="start: probabilities must not be negative, and those of a column must sum to 1"):
        jaxem.fit(named, "categorical", 2, start=bad)


def test_the_command_reads_names(named, fit, tmp_path):
    file = tmp_path / "answers.csv"
    named.assign(q1=named.q1.where(named.index != 5)).to_csv(file, index=False)
    done = run(
        "fit", str(file), "--family", "categorical", "--components", "3", "--restarts", "4", "--out", str(tmp_path / "out")
    )
    assert done.status == 0, done.err
    assert "categorical with K = 3" in done.prose
    predicted = run("predict", str(tmp_path / "out" / "model.npz"), str(file), "--quiet")
    labels = np.array(predicted.out.split(), int) - 1
    assert (labels == fit.predict(named)).mean() > 0.98
    refused = run("fit", str(file), "--components", "3")
    assert refused.status == 2
    assert "column 'q1' is not numeric" in refused.err
