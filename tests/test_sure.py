"""Am I sure? The bootstrap test, cross-validation, stability and merging, against loops of single fits and numbers made elsewhere."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxem
from jaxem import again, init, resampling
from jaxem._precision import precision
from jaxem.selection import bootstrap_lrt, doubt, merge, resampled
from jaxem.selection.stability import adjusted_rand


@pytest.fixture(scope="module")
def waiting(faithful):
    return faithful["waiting"]


@pytest.fixture(scope="module")
def test_of_two(waiting):
    return bootstrap_lrt(waiting, "E", 2, num_replicates=99)


def test_one_normal_is_refused(waiting):
    """mclust's statistic on the same data is 122.5735, and its p-value the least it can be (mclustBootstrapLRT, 499 replicates)."""
    test = bootstrap_lrt(waiting, "E", 1, num_replicates=49)
    assert test.statistic == pytest.approx(122.5735, abs=5e-3)
    assert test.p_value == 1 / 50
    assert len(test.replicates) + test.num_failed == 49


@pytest.mark.slow
def test_two_normals_are_enough(test_of_two):
    """mclust says 0.796 with a statistic below 0, which a maximum cannot give; a larger statistic has a smaller p-value."""
    assert 0 <= test_of_two.statistic < 5
    assert 0.4 < test_of_two.p_value < 0.9
    assert test_of_two.p_value == (np.sum(test_of_two.replicates >= test_of_two.statistic) + 1) / (
        len(test_of_two.replicates) + 1
    )
    assert (test_of_two.replicates > -0.01).all()


def test_an_early_stop_is_a_prefix_of_the_whole(waiting, test_of_two):
    """Besag and Clifford: sampling ends at the tenth replicate that reaches the statistic."""
    early = bootstrap_lrt(waiting, "E", 2, num_replicates=199, stop_after=10)
    n = len(early.replicates)
    np.testing.assert_allclose(early.replicates, test_of_two.replicates[:n], atol=1e-8)
    assert early.stopped
    assert early.p_value == 10 / n
    assert np.sum(early.replicates >= early.statistic) == 10


def test_weights_are_repeated_rows_in_the_test(waiting):
    values, counts = np.unique(waiting.to_numpy(), return_counts=True)
    whole = bootstrap_lrt(waiting, "E", 1, num_replicates=2)
    assert bootstrap_lrt(values, "E", 1, num_replicates=2, weights=counts).statistic == pytest.approx(whole.statistic, abs=1e-3)


def test_the_test_is_found_by_its_full_name():
    code = "import jaxem; print(jaxem.selection.bootstrap_lrt.__name__, jaxem.criteria.aic(0.0, 1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["bootstrap_lrt", "2.0"], done.stderr


def test_the_tests_arguments_are_checked(waiting):
    with pytest.raises(ValueError, match="num_replicates must be at least 1"):
        bootstrap_lrt(waiting, "E", 1, num_replicates=0)
    with pytest.raises(ValueError, match="bootstrap_lrt takes one family"):
        bootstrap_lrt(waiting, "gaussian", 1)
    with pytest.raises(ValueError, match="distinct rows"):
        bootstrap_lrt([1.0, 1.0, 2.0], "E", 2)


@pytest.mark.slow
def test_folds_are_single_fits(selection, faithful):
    """Each fold's score is the held-out log-density of a fit to the other rows."""
    validation = selection.cross_validate(faithful, folds=4, seed=5)
    fold = resampling.folds(np.ones(len(faithful)), 4, (5,))
    for number in (0, 3):
        train, test = faithful[fold != number], faithful[fold == number]
        alone = jaxem.fit(train, "VVV", 2, start=selection["VVV", 2].params).log_prob(test).mean()
        assert validation.scores["VVV", 2][number] == pytest.approx(alone, abs=1e-4)
    table = validation.table.set_index(["family", "num_components"])
    assert table["log_likelihood"].idxmax() == validation.best
    least = table.loc[validation.best, "log_likelihood"] - table.loc[validation.best, "standard_error"]
    assert table.loc[validation.one_standard_error, "log_likelihood"] >= least
    assert table.loc[validation.one_standard_error, "num_params"] <= table.loc[validation.best, "num_params"]


def test_cross_validation_checks_its_folds(selection, faithful):
    with pytest.raises(ValueError, match="folds must be at least 2"):
        selection.cross_validate(faithful, folds=1)


def test_stability_of_a_clear_choice(selection, faithful):
    found = selection.stability(faithful, num_resamples=20)
    assert found.chosen == ("EEE", 3)
    assert found.share > 0.7
    assert found.table["share"].sum() == pytest.approx(1)
    assert found.table["share"].iloc[0] == found.share
    assert found.agreement.shape == (20,)
    together = found.coclustering()
    np.testing.assert_array_equal(np.diag(together), 1)
    np.testing.assert_array_equal(together, together.T)
    assert f"{found.share:.0%} chose EEE with K = 3" in found.sentence()


def test_all_rows_choose_what_the_selection_chose(selection, faithful):
    """A resample of all rows is the data, whatever the criterion: refits, scores and labels agree with the selection's."""
    for criterion in ("bic", "icl", "sbic"):
        found = dataclasses.replace(selection, criterion=criterion).stability(faithful, num_resamples=1, fraction=1.0)
        best = selection.best_by(criterion)
        assert found.winners == ((best.family, best.num_components),)
        assert found.agreement[0] == 1.0
        np.testing.assert_array_equal(found.labels[0], best.predict(faithful))


def test_the_rand_index_is_scikit_learns(rng):
    from sklearn.metrics import adjusted_rand_score

    a, b = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    b = np.where(rng.random(200) < 0.5, a % 3, b)
    assert adjusted_rand(a, b, np.ones(200)) == pytest.approx(adjusted_rand_score(a, b), rel=1e-12)
    weight = rng.integers(1, 4, 200)
    wanted = adjusted_rand_score(np.repeat(a, weight), np.repeat(b, weight))
    assert adjusted_rand(a, b, weight) == pytest.approx(wanted, rel=1e-12)
    for scale in (1 / 200, 0.5, 1.5):  # no frequencies: a mean of 1 is meant
        assert adjusted_rand(a, b, np.full(200, scale)) == pytest.approx(adjusted_rand_score(a, b), rel=1e-12)


def test_clusters_that_are_certain_are_not_merged(fitted, faithful, rng):
    """No certainty is there to be gained: the bend of the entropies would be one of rounding."""
    part = np.eye(3)[np.arange(len(faithful)) % 3]
    clear = part @ [[0.0, 0.0], [40.0, 0.0], [0.0, 80.0]] + rng.normal(size=faithful.shape)
    assert merge(jaxem.fit(clear, "EEE", 3, start=part), clear).elbow == 3
    assert merge(fitted, faithful).elbow == 2


def test_two_normals_in_one_place_are_one_cluster():
    """A cross of two long Gaussians far from a round one: three components, two clusters."""
    rng = np.random.default_rng(4)
    long, wide = rng.normal(size=(300, 2)) * [6, 0.5], rng.normal(size=(300, 2)) * [0.5, 6]
    x = np.concatenate([long, wide, rng.normal(20, 1, size=(300, 2))])
    fit = jaxem.fit(x, "VVV", 3, num_restarts=5)
    tree = jaxem.select(x, "VVV", 3, num_restarts=5).merge(x)
    assert tree.elbow == 2
    labels = tree.predict(x)
    assert len(set(labels[:600])) == 1
    assert adjusted_rand(labels, np.repeat([0, 1], [600, 300]), np.ones(900)) == 1.0
    resp = fit.predict_proba(x)
    assert tree.entropy[2] == pytest.approx(stats.entropy(resp, axis=1).sum(), rel=1e-3)
    assert tree.entropy[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(tree.predict_proba(x, 3), resp, atol=1e-3)
    assert tree.table["num_clusters"].tolist() == [3, 2, 1]


def test_merging_lowers_the_entropy_most(fitted, x):
    """The first step, by trying every pair."""
    tree = merge(fitted, x)
    resp = fitted.predict_proba(x)
    tried = {}
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        other = ({0, 1, 2} - {a, b}).pop()
        tried[a, b] = stats.entropy(np.stack([resp[:, a] + resp[:, b], resp[:, other]], axis=1), axis=1).sum()
    best = min(tried, key=tried.get)
    assert best in tree.partitions[2]
    assert tree.entropy[1] == pytest.approx(tried[best], rel=1e-9)
    with pytest.raises(ValueError, match="num_clusters must be at most the fit's 3 components, got 4"):
        tree.predict(x, 4)


def test_the_trust_report_has_its_facts(selection):
    """Criteria, overlap and leads, in sentences and as numbers."""
    facts = selection.doubts
    assert facts["criteria"]["bic"] == {"family": "EEE", "num_components": 3}
    assert facts["criteria"]["icl"] == {"family": "VVV", "num_components": 2}
    assert facts["relative_entropy"] == selection.best.relative_entropy
    told = " ".join(selection.trust_report)
    assert "ICL chooses VVV with K = 2" in told
    assert "Clusters overlap a little: relative entropy 0.86" in told
    lead = facts["leads"][0]
    assert (lead["family"], lead["num_components"]) == ("EEE", 4)
    assert f"it holds in {lead['share_ahead']:.0%} of 999 resamplings" in told
    assert any("EEE with K = 4 is within the noise" in warning for warning in selection.warnings)


def test_overlap_is_that_of_the_least_sure_cluster(selection, x):
    """A rare cluster in the tail of another: relative entropy is a mean over rows, of which few are in doubt."""
    resp = selection.best.predict_proba(x)
    sure = [resp[resp.argmax(1) == k, k].mean() for k in range(3)]
    worst = selection.doubts["least_sure"]
    assert worst == {"component": 2, "num_rows": 41, "mean_probability": pytest.approx(min(sure))}
    rng = np.random.default_rng(0)
    rare = rng.random(10_000) < 0.01
    y = rng.normal(np.where(rare, 3.0, 0.0), 1)
    fit = jaxem.fit(y, "E", 2, num_restarts=3, moves=False)
    facts = {"relative_entropy": fit.relative_entropy, "least_sure": doubt.least_sure(fit, y, np.ones(len(y)))}
    assert facts["relative_entropy"] > 0.97
    assert doubt.overlap(facts, 2) == [
        "Clusters overlap: relative entropy 0.97, where 1 is no doubt about any row; the least sure has 47 rows, "
        "its own with a mean probability of 0.78."
    ]
    worst = doubt.least_sure(fit, y, np.ones(len(y)), np.where(y < 4, 0, -1))  # what is known is in no doubt
    assert (worst["component"], worst["num_rows"]) == (1, (y >= 4).sum())
    assert doubt.least_sure(fit, y, np.ones(len(y)), np.zeros(len(y))) is None
    facts["least_sure"]["mean_probability"] = 0.65
    assert "Clusters overlap strongly" in doubt.overlap(facts, 2)[0]
    assert doubt.overlap(facts, 2)[0].endswith("where groups should have 0.7 or more.")
    facts["least_sure"] |= {"num_rows": 0.0, "mean_probability": None}
    assert doubt.overlap(facts, 2)[0].endswith("; one of them is the most probable of no row.")


def test_a_lead_is_measured_against_its_noise(selection, x):
    """The bootstrap of a sum is nearly normal with the sum's own variance (Vuong 1989)."""
    difference = 2 * (selection["EEE", 3].log_prob(x) - selection["EEE", 4].log_prob(x))
    gap = selection["EEE", 4].bic - selection["EEE", 3].bic
    share = doubt.share_ahead(difference, gap, np.ones(len(x)), (0,))
    assert share == pytest.approx(stats.norm.cdf(gap / (difference.std() * np.sqrt(len(x)))), abs=0.05)
    for rows in (difference, np.tile(difference, 2)):  # drawn one by one, and in groups
        weight = np.where(rows > 0, 1.0, 3.0)
        repeated = np.repeat(rows, weight.astype(int))
        wanted = stats.norm.cdf(gap / (repeated.std() * np.sqrt(len(repeated))))
        assert doubt.share_ahead(rows, gap, weight, (0,)) == pytest.approx(wanted, abs=0.05)
    many = np.tile(difference, 40)
    grouped = doubt.share_ahead(many, gap, np.full(len(many), 1 / 40), (0,))
    assert grouped == pytest.approx(stats.norm.cdf(gap / (many.std() * np.sqrt(len(many)) / 40)), abs=0.05)


def test_a_selection_can_ask_for_its_stability(faithful):
    found = jaxem.select(faithful, "EEE", range(2, 4), num_restarts=3, moves=False, num_resamples=5)
    assert found.doubts["stability"]["num_resamples"] == 5
    assert found.trust_report[-1].startswith("Of 5 parts of the rows")
    assert json.loads(found.to_json())["doubts"]["stability"] == found.doubts["stability"]


def test_structures_of_every_kind_share_a_room(fitted, x):
    """Structures with axes need more of the program than others; an EEE fit is an EVE fit too."""
    both = [fitted, dataclasses.replace(fitted, family="EVE")]
    with precision(np.float64):
        room = resampled.Room(both, x, np.ones(len(x)))
        joints = [next(room.log_joint(fit.family, [room.params(fit)])) for fit in both]
    for joint in joints:
        np.testing.assert_allclose(np.logaddexp.reduce(joint, axis=0), fitted.log_prob(x), rtol=1e-9)


def test_starts_of_all_resamples_share_their_room(fitted, x, monkeypatch):
    """They live side by side until the last part is done: what each may keep by itself is too much for all."""
    made, begun = [], []

    def recorded(*given, **told):
        made.append(draws(*given, **told))
        return made[-1]

    draws, most = init.draws, 2 * 3 * 8 * len(x) * 10  # two starts for each of ten
    monkeypatch.setattr(init, "KEPT_BYTES", most)
    monkeypatch.setattr(init, "draws", recorded)
    begin = types.SimpleNamespace(
        fit=lambda tasks: begun.extend(start() for task in tasks for start in task.starts[1:]) or tasks
    )
    monkeypatch.setattr(resampled.Room, "_replicates", lambda *_: begin)
    with precision(np.float64):
        resampled.Room([fitted], x, np.ones(len(x))).refit(lambda number: np.ones(len(x)), 10, 5, (0,))
    assert len(begun) == 50
    assert sum(start.nbytes for starts in made for start in starts._kept.values()) == most


@pytest.fixture(scope="module")
def weights(faithful):
    return np.random.default_rng(1).integers(0, 4, len(faithful)).astype(float)


@pytest.fixture(scope="module")
def weighted(faithful, weights):
    return jaxem.select(faithful, ["EEE", "VVV"], [2, 3], weights=weights, num_restarts=4, moves=False)


CONTINUED = {
    "standard errors": lambda sel, data, **w: sel.best.standard_errors(data, **w),
    "sandwich": lambda sel, data, **w: sel.best.standard_errors(data, "sandwich", **w),
    "bootstrap": lambda sel, data, **w: sel.best.standard_errors(data, "bootstrap", num_replicates=4, **w),
    "weighted bootstrap": lambda sel, data, **w: sel.best.standard_errors(data, "weighted-bootstrap", num_replicates=4, **w),
    "parametric": lambda sel, data, **w: sel.best.standard_errors(data, "parametric-bootstrap", num_replicates=4, **w),
    "cross-validation": lambda sel, data, **w: sel.cross_validate(data, 2, num_restarts=0, **w),
    "stability": lambda sel, data, **w: sel.stability(data, 2, num_restarts=0, **w),
    "merging": lambda sel, data, **w: sel.merge(data, **w),
}


@pytest.mark.parametrize("name", CONTINUED)
def test_what_goes_on_from_a_fit_goes_on_from_its_data(weighted, faithful, weights, name):
    """Forgotten weights, others of the same sum and other rows are refused: nothing in the answer would show them."""
    go_on = CONTINUED[name]
    for data, given in (
        (faithful, None),
        (faithful, weights[::-1]),
        (faithful.iloc[:-1], weights[:-1]),
        (faithful + 1, weights),
    ):
        with pytest.raises(
            ValueError, match=r"^these are not the rows that the fit was made from, or not with its weights: .*same"
        ):
            go_on(weighted, data, weights=given)
    go_on(weighted, faithful, weights=weights)


def test_the_report_says_why_it_has_no_errors(weighted, faithful, tmp_path):
    weighted.report(tmp_path / "page.html", faithful)
    assert "There are no standard errors: these are not the rows" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_makes_no_other_data(dtype, rng):
    """Of many rows, with offsets, with sums in another order, with missing cells, in float32: the same data remain the same."""
    x = np.concatenate([rng.normal(size=(3000, 2)), rng.normal(3, 0.01, size=(2000, 2))]) * [1e5, 1e-4] + [1e7, 3.0]
    x[::7, 1] = np.nan
    weights = rng.uniform(0.5, 2.0, len(x))
    fit = jaxem.fit(x, "VVV", 2, weights=weights, dtype=dtype, num_restarts=2, moves=False)
    again.read(fit, x, weights)
    order = rng.permutation(len(x))
    again.read(fit, pd.DataFrame(x[order][:, ::-1], columns=["x2", "x1"]), weights[order])
    with pytest.raises(ValueError, match="total weight"):
        again.read(fit, x[1:], weights[1:])
    with pytest.raises(ValueError, match="same weights"):
        again.read(fit, x, weights[order])


def test_a_fit_from_elsewhere_may_know_no_likelihood(fitted, faithful, x):
    """Nothing can be compared, and what was said before the fit came is said no more."""
    unknown = dataclasses.replace(fitted, log_likelihood=np.nan, num_rows=np.nan)
    np.testing.assert_allclose(merge(unknown, x).entropy, merge(fitted, faithful).entropy)
