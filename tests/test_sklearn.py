"""The estimators: scikit-learn's own checks, and scikit-learn's own numbers."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import multivariate_normal
from sklearn import mixture
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import jaxem
from jaxem import padding, problem
from jaxem.lanes import Engine
from jaxem.sklearn import GaussianMixture, MixtureSelector


TYPES = ("full", "tied", "diag", "spherical")
SHAPES = {"full": (2, 2, 2), "tied": (2, 2, 2), "diag": (2, 2), "spherical": (2,)}  # of two components in two columns
NAMES = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


@pytest.fixture(scope="module")
def scaled():
    """Columns of different sizes, off zero, and without ties, which rounding would break."""
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]])[rng.integers(3, size=272)]
    return (centres + rng.normal(size=(272, 2))) * [0.2, 30] + [1.0, 50.0]


@pytest.fixture(scope="module")
def holes(faithful):
    """Old Faithful with a seventh of its cells gone; no row is without any."""
    x = faithful.to_numpy(copy=True)
    gone = np.random.default_rng(0).random(x.shape) < 1 / 7
    x[gone & ~gone.all(1, keepdims=True)] = np.nan
    return x


@pytest.fixture(scope="module")
def selector(faithful):
    return MixtureSelector(["EEE", "VVV"], range(1, 5), random_state=0).fit(faithful)


def both(x, **settings):
    """scikit-learn's mixture and ours, fitted alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.GaussianMixture(**settings).fit(x), GaussianMixture(**settings).fit(x)


def clone_of(fitted):
    """A copy, fitted as well."""
    return pickle.loads(pickle.dumps(fitted))


def assert_same(ours, theirs, rtol=1e-7):
    for name in NAMES:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(), err_msg=name)
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    np.testing.assert_allclose(ours.lower_bound_, theirs.lower_bound_, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [GaussianMixture(), MixtureSelector("VVI", (1, 2), n_init=2, moves=False, random_state=0)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_every_check_of_scikit_learn_passes(estimator, monkeypatch):
    for module in (padding, problem):  # data of all sizes share the programs: compiling for each was a quarter of the time
        monkeypatch.setattr(module, "row_bucket", lambda num_rows: -(-num_rows // 512) * 512)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None)
    assert len(results) > 40
    told = {result["check_name"]: result["status"] for result in results if result["status"] != "passed"}
    assert told in ({}, {"check_array_api_input": "skipped"})  # skipped where SciPy was not asked for array API


class TestGaussianMixture:
    @pytest.mark.parametrize("covariance_type", TYPES)
    @pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
    def test_gives_the_numbers_of_scikit_learn(self, scaled, covariance_type, init_params):
        settings = {"covariance_type": covariance_type, "init_params": init_params}
        theirs, ours = both(scaled, n_components=3, n_init=4, random_state=1, **settings)
        assert_same(ours, theirs)
        np.testing.assert_allclose(ours.lower_bounds_[1:], theirs.lower_bounds_[1:], atol=1e-7)
        np.testing.assert_array_equal(ours.predict(scaled), theirs.predict(scaled))

    @pytest.mark.parametrize("covariance_type", TYPES)
    def test_begins_where_it_is_told_to(self, scaled, covariance_type):
        at = mixture.GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(scaled)
        start = {"weights_init": at.weights_, "means_init": at.means_, "precisions_init": at.precisions_}
        for given in (start, {"means_init": at.means_}, {"precisions_init": at.precisions_}):
            theirs, ours = both(
                scaled, n_components=3, n_init=4, max_iter=2, covariance_type=covariance_type, random_state=5, **given
            )
            assert_same(ours, theirs)

    @pytest.mark.parametrize("covariance_type", TYPES)
    def test_a_weight_is_a_repeated_row(self, scaled, covariance_type):
        weight = np.arange(len(scaled)) % 3
        settings = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
        means = np.quantile(scaled, [0.1, 0.5, 0.9], axis=0)
        resp_free = GaussianMixture(**settings, means_init=means, init_params="random", max_iter=0)
        weighted = clone(resp_free).set_params(max_iter=100, precisions_init=self._precisions(covariance_type, scaled))
        weighted.set_params(weights_init=np.full(3, 1 / 3))
        repeated = clone(weighted).fit(np.repeat(scaled, weight, axis=0))
        assert_same(weighted.fit(scaled, sample_weight=weight), repeated)

    @staticmethod
    def _precisions(covariance_type, x):
        precision = np.linalg.inv(np.cov(x.T))
        return {
            "full": np.tile(precision, (3, 1, 1)),
            "tied": precision,
            "diag": np.tile(np.diag(precision), (3, 1)),
            "spherical": np.full(3, np.diag(precision).min()),
        }[covariance_type]

    @pytest.mark.parametrize("covariance_type", TYPES)
    def test_starts_know_the_weights(self, scaled, covariance_type):
        """With one component every start is the same, so that weights and repetition must agree from the first point on."""
        weight = np.arange(len(scaled)) % 3
        settings = {"covariance_type": covariance_type, "max_iter": 0}
        repeated = GaussianMixture(**settings).fit(np.repeat(scaled, weight, axis=0))
        assert_same(GaussianMixture(**settings).fit(scaled, sample_weight=weight), repeated, rtol=1e-6)

    @pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
    def test_rows_of_weight_zero_are_invisible(self, scaled, init_params):
        far = np.vstack([scaled, 1e3 * scaled[:5]])
        weight = np.repeat([1.0, 0.0], [len(scaled), 5])
        ours = GaussianMixture(2, init_params=init_params, random_state=0, n_init=3).fit(far, sample_weight=weight)
        assert (ours.means_ <= scaled.max(axis=0)).all()

    def test_goes_on_where_it_ended(self, scaled):
        with pytest.warns(ConvergenceWarning, match="Best performing initialization did not converge"):
            once = GaussianMixture(3, max_iter=4, random_state=0).fit(scaled)
        twice = GaussianMixture(3, max_iter=2, random_state=0, warm_start=True)
        with pytest.warns(ConvergenceWarning):
            twice.fit(scaled).fit(scaled)
        np.testing.assert_allclose(twice.means_, once.means_, rtol=1e-10)
        assert once.lower_bounds_[2:] == pytest.approx(twice.lower_bounds_, abs=1e-12)

    def test_does_not_go_on_from_another_mixture(self, scaled):
        last = GaussianMixture(3, random_state=0, warm_start=True).fit(scaled)
        for settings, x in (({"n_components": 2}, scaled), ({"covariance_type": "diag"}, scaled), ({}, scaled[:, [0, 1, 0]])):
            with pytest.raises(
                ValueError, match=r"which has 3 components in 2 columns, covariance_type 'full'.*warm_start=False"
            ):
                clone_of(last).set_params(**settings).fit(x)
        assert clone_of(last).set_params(warm_start=False, n_components=2).fit(scaled).means_.shape == (2, 2)

    @pytest.mark.parametrize("covariance_type", TYPES)
    def test_the_unit_of_weights_makes_no_difference(self, scaled, covariance_type):
        weight = np.arange(len(scaled)) % 3
        settings = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
        one = GaussianMixture(**settings).fit(scaled, sample_weight=weight)
        for unit in (2.0**-1000, 1e-17, 1e300):
            assert_same(GaussianMixture(**settings).fit(scaled, sample_weight=unit * weight), one, rtol=1e-9)
        with pytest.raises(ValueError, match="weight"):
            GaussianMixture(**settings).fit(scaled, sample_weight=0 * weight)

    @pytest.mark.parametrize("covariance_type", TYPES)
    def test_data_far_from_zero_keep_their_digits(self, covariance_type):
        """The offset has 8 digits, and leaves 8 to the columns: rounded to these, they are the same there and here."""
        rng = np.random.default_rng(2)
        x = ((np.arange(200) % 2)[:, None] * 4 + rng.normal(size=(200, 2)) + 1e8) - 1e8
        near, far = (GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows) for rows in (x, x + 1e8))
        np.testing.assert_allclose(far.score_samples(x + 1e8), near.score_samples(x), rtol=0, atol=1e-6)
        assert far.lower_bound_ == pytest.approx(near.lower_bound_, abs=1e-8)

    def test_a_missing_cell_changes_no_other_row(self, holes):
        fitted = GaussianMixture(2, covariance_type="diag", random_state=0).fit(holes)
        there = ~np.isnan(holes).any(axis=1)
        filled = np.where(np.isnan(holes), 50.0, holes)
        np.testing.assert_array_equal(fitted.score_samples(holes)[there], fitted.score_samples(filled)[there])

    def test_a_collapse_is_fatal_only_to_its_own_run(self, rng):
        """k-means makes a cluster of the equal rows in one run of ten."""
        x = np.concatenate([rng.normal(size=(134, 2)), rng.normal((6, 0), size=(134, 2)), np.full((4, 2), 3.0)])
        spike = {"weights_init": [0.4, 0.4, 0.2], "means_init": [[0, 0], [6, 0], [3, 3]]}
        spike["precisions_init"] = [np.eye(2), np.eye(2), 1e4 * np.eye(2)]
        with pytest.raises(ValueError, match=r"ill-defined empirical covariance.*increase reg_covar"):
            GaussianMixture(3, reg_covar=0, **spike).fit(x)
        several = GaussianMixture(3, reg_covar=0, n_init=10, random_state=0).fit(x)
        assert np.linalg.cond(several.covariances_).max() < 1e6

    def test_keeps_the_width_of_the_data(self, x):
        ours = GaussianMixture(2, random_state=0).fit(x.astype(np.float32))
        assert {getattr(ours, name).dtype for name in NAMES} == {np.dtype(np.float32)}
        np.testing.assert_allclose(ours.means_, GaussianMixture(2, random_state=0).fit(x).means_, rtol=1e-5)

    @pytest.mark.parametrize("verbose", [1, 2])
    def test_prints_what_scikit_learn_prints(self, x, capsys, verbose):
        """Line by line, but for the times."""
        settings = {"tol": 1e-6, "random_state": 0, "verbose": verbose, "verbose_interval": 3}
        said = []
        for kind in (GaussianMixture, mixture.GaussianMixture):
            kind(2, **settings).fit(x)
            said.append(re.sub(r"lapse \d+\.\d+s", "lapse", capsys.readouterr().out))
        assert said[0] == said[1]
        assert said[0].count("\n") > 3

    def test_runs_side_by_side_take_turns_to_print(self, x, capsys):
        GaussianMixture(2, n_init=2, tol=1e-6, random_state=0, verbose=1, verbose_interval=2).fit(x)
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == ["Initialization 0", "  Iteration 2"]
        assert lines[2] == "Initialization 1"
        assert lines[-2:] == ["Initialization 0 converged.", "Initialization 1 converged."]

    def test_prints_while_it_runs(self, x, monkeypatch):
        """What is printed comes from `Engine.run`, before it returns."""
        running, said = [], []
        run = Engine.run

        def watched(*args, **kwargs):
            running.append(True)
            try:
                return run(*args, **kwargs)
            finally:
                running.pop()

        monkeypatch.setattr(Engine, "run", watched)
        monkeypatch.setattr("builtins.print", lambda text, **_: said.append((bool(running), text)))
        GaussianMixture(2, random_state=0, verbose=1, verbose_interval=1).fit(x)
        assert (True, "  Iteration 1") in said
        assert said[-1] == (False, "Initialization converged.")

    def test_is_one_of_theirs(self, x):
        ours = GaussianMixture(2, random_state=0).fit(pd.DataFrame(x, columns=["a", "b"]))
        assert isinstance(ours, mixture.GaussianMixture)
        assert list(ours.feature_names_in_) == ["a", "b"]
        again = pickle.loads(pickle.dumps(ours))
        np.testing.assert_array_equal(again.predict_proba(pd.DataFrame(x, columns=["a", "b"])).sum(axis=1) > 0, True)
        with pytest.raises(ValueError, match="'n_components' parameter"):
            GaussianMixture(0).fit(x)
        with pytest.raises(ValueError, match="Expected n_samples >= n_components"):
            GaussianMixture(9).fit(x[:4])


class TestMissingCells:
    @pytest.mark.parametrize(("kind", "code"), list(zip(TYPES, ("VVV", "EEE", "VVI", "VII"), strict=True)))
    def test_the_likelihood_is_that_of_the_cells_that_are_there(self, holes, kind, code):
        """EM from this optimum, by the core's own program and its own check, stays where it is."""
        ours = GaussianMixture(2, covariance_type=kind, tol=1e-10, max_iter=500, random_state=0).fit(holes)
        log_prob = ours.score_samples(holes)
        assert ours.lower_bound_ == pytest.approx(log_prob.mean(), abs=1e-8)
        assert ours.lower_bounds_ == sorted(ours.lower_bounds_)
        seen = ~np.isnan(holes)
        covariances = [np.eye(2) * c if np.ndim(c) < 2 else c for c in np.broadcast_to(ours.covariances_, SHAPES[kind])]
        for row in (0, *np.flatnonzero(~seen.all(1))[:4]):
            here = seen[row]
            joint = [
                weight * multivariate_normal(mean[here], covariance[np.ix_(here, here)]).pdf(holes[row, here])
                for weight, mean, covariance in zip(ours.weights_, ours.means_, covariances, strict=True)
            ]
            assert log_prob[row] == pytest.approx(np.log(sum(joint)), rel=1e-9)
            np.testing.assert_allclose(ours.predict_proba(holes[row : row + 1])[0], np.array(joint) / sum(joint), atol=1e-9)
        assert jaxem.fit(holes, code, 2, num_restarts=4, moves=False).log_likelihood == pytest.approx(log_prob.sum(), abs=2e-3)

    def test_nothing_changes_where_none_is_missing(self, x):
        fitted = GaussianMixture(2, random_state=0).fit(x)
        np.testing.assert_array_equal(fitted.predict(x), mixture.GaussianMixture(2, random_state=0).fit_predict(x))

    def test_a_column_without_values_is_refused(self, x):
        with pytest.raises(ValueError, match="every value of column 1 of X is missing"):
            GaussianMixture(2).fit(np.column_stack([x[:, 0], np.full(len(x), np.nan)]))

    def test_rows_without_any_cell_say_nothing(self, holes):
        """They add nothing to the likelihood, and their components are the weights."""
        x = np.column_stack([holes[:, 1]])
        fitted = GaussianMixture(2, covariance_type="diag", tol=1e-9, max_iter=500, random_state=0).fit(x)
        without = GaussianMixture(2, covariance_type="diag", tol=1e-9, max_iter=500, random_state=0).fit(
            x[~np.isnan(x)][:, None]
        )
        np.testing.assert_allclose(np.sort(fitted.means_, 0), np.sort(without.means_, 0), rtol=1e-5)
        np.testing.assert_allclose(fitted.predict_proba([[np.nan]])[0], fitted.weights_)

    def test_the_selector_takes_them(self, holes):
        chosen = MixtureSelector("EEE", range(1, 3), n_init=2, moves=False, random_state=0).fit(holes)
        assert chosen.labels_.shape == chosen.predict(holes).shape == (len(holes),)
        np.testing.assert_allclose(chosen.predict_proba(holes).sum(1), 1)


class TestMixtureSelector:
    def test_chooses_as_select_does(self, selector, selection, faithful):
        assert (selector.family_, selector.n_components_) == (selection.best.family, selection.best.num_components)
        assert selector.best_.bic == pytest.approx(selection.best.bic, abs=1e-3)
        assert selector.best_.columns == ("eruptions", "waiting")
        np.testing.assert_array_equal(selector.labels_, selector.predict(faithful))
        assert selector.score(faithful) == pytest.approx(selection.best.log_likelihood / len(faithful), abs=1e-5)

    def test_weights_are_repetitions_and_order_does_not_matter(self, selector, faithful):
        twice = clone(selector).fit(pd.concat([faithful, faithful]).sample(frac=1, random_state=0))
        weighted = clone(selector).fit(faithful, sample_weight=np.full(len(faithful), 2.0))
        np.testing.assert_array_equal(twice.best_.params.means, weighted.best_.params.means)
        assert twice.best_.num_rows == 2 * len(faithful)

    def test_is_at_home_in_a_pipeline(self, faithful):
        steps = make_pipeline(StandardScaler(), MixtureSelector("EEE", range(1, 5), n_init=4, random_state=0))
        frame = steps.set_output(transform="pandas").fit_transform(faithful)
        assert list(frame.columns) == ["mixtureselector0", "mixtureselector1", "mixtureselector2"]
        np.testing.assert_allclose(frame.sum(axis=1), 1)
        again = pickle.loads(pickle.dumps(steps))
        np.testing.assert_array_equal(again.predict(faithful), frame.to_numpy().argmax(axis=1))

    def test_scores_know_the_weights(self, selector, faithful):
        """Also where weights are routed to them, in a pipeline."""
        weight, mixture_of_two = np.arange(len(faithful)) % 3, GaussianMixture(2, random_state=0).fit(faithful)
        for fitted in (selector, mixture_of_two):
            wanted = np.average(fitted.score_samples(faithful), weights=weight)
            assert fitted.score(faithful, sample_weight=1e-30 * weight) == pytest.approx(wanted, rel=1e-12)
            assert fitted.score(faithful) == pytest.approx(fitted.score_samples(faithful).mean(), rel=1e-12)
        with sklearn.config_context(enable_metadata_routing=True):
            routed = mixture_of_two.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            steps = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), routed)
            found = GridSearchCV(steps, {"gaussianmixture__n_components": [1, 2]}, cv=2).fit(faithful, sample_weight=weight)
        assert np.isfinite(found.cv_results_["mean_test_score"]).all()

    def test_is_searched_over_a_grid(self, faithful):
        search = GridSearchCV(
            MixtureSelector(n_components=range(1, 5), n_init=2, moves=False, random_state=0),
            {"families": ["EEE", "VVV"]},
            cv=[(np.arange(len(faithful)),) * 2],
        ).fit(faithful)
        assert search.best_score_ == pytest.approx(search.cv_results_["mean_test_score"].max())
        assert search.best_estimator_.family_ == search.best_params_["families"]

    def test_a_random_state_is_drawn_from(self, faithful):
        drawn = MixtureSelector("EEE", range(1, 5), n_init=2, moves=False, random_state=np.random.RandomState(1))
        one, two = drawn.fit(faithful).selection_.seed, drawn.fit(faithful).selection_.seed
        assert one != two

    def test_every_criterion_is_named(self):
        assert all(f'"{name}"' in MixtureSelector.__doc__ for name in jaxem.criteria.NAMES)

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("criterion", "bicc", "criterion must be one of"),
            ("n_components", [0, 1], "n_components must be at least 1, got 0"),
            ("n_components", "3", "n_components must be a whole number, got '3'"),
            ("n_components", [], "n_components must hold at least one number, got none"),
            ("n_init", 0, "n_init must be at least 1, got 0"),
            ("n_finalists", 2.5, "n_finalists must be a whole number, got 2.5"),
            ("max_iter", 0, "max_iter must be at least 1, got 0"),
            ("random_state", -1, "random_state must be at least 0, got -1"),
            ("random_state", "one", "random_state must be an int, a RandomState or None, got 'one'"),
        ],
    )
    def test_bad_values_are_named(self, faithful, name, value, told):
        """By the estimator's own names: `select` has others."""
        estimator = MixtureSelector().set_params(**{name: value})
        with pytest.raises((TypeError, ValueError), match=f"^{told}"):
            estimator.fit(faithful)


def test_without_scikit_learn_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None\ntry:\n import jaxem.sklearn\nexcept ModuleNotFoundError as e: print(e)"
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "jaxem.sklearn needs scikit-learn: python -m pip install 'jaxem[sklearn]'\n"


def test_it_is_no_part_of_the_package_that_everybody_imports():
    assert "sklearn" not in jaxem.__all__
