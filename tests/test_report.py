"""The page of HTML, and what `print` says: whole, self-contained, and true to the results."""

import dataclasses
import itertools
import re

import numpy as np
import pandas as pd
import pytest
from helpers import told

import jaxem
from jaxem import report
from jaxem._page import prose
from jaxem.selection import bootstrap_lrt


@pytest.fixture(scope="module")
def frame():
    return jaxem.datasets.load("faithful").rename(columns={"eruptions": "<b>&'"})


@pytest.fixture(scope="module")
def selection(frame):
    return jaxem.select(frame, ["EEE", "VVV"], range(1, 4), num_restarts=3, seed=5)


@pytest.fixture(scope="module")
def page(selection, frame):
    return report.page(selection, frame)


def test_needs_nothing_but_itself(page):
    assert not re.search(r"<script|<link|https?://|src=\"(?!data:)", page)


def test_text_of_the_user_is_escaped(page):
    assert "<b>&'" not in page
    assert "&lt;b&gt;&amp;&#x27;" in page


def test_says_how_far_to_trust_it(page, selection):
    for sentence in selection.trust_report:
        assert prose(sentence) in page


def test_marks_the_choice(page, selection):
    assert re.findall(r'class="best">([\d.]+)<', page) == [f"{selection.best.bic:.1f}"]


def test_has_its_pictures(page):
    assert re.findall(r'<img alt="(\w+ \w+)', page) == ["BIC by", "The rows", "How sure", "Where every"]


def test_says_how_sure_the_parameters_are(page, selection, frame):
    table = selection.best.standard_errors(frame).table
    assert page.count(f"<td>{table['estimate'][0]:.4g}</td><td>{table['standard_error'][0]:.2g}</td>") == 1
    assert page.count("% interval") == 1
    assert "Standard errors need the data" in report.page(selection)


def test_the_call_gives_the_selection_again(selection, frame):
    call = report.call(selection)
    assert call == "jaxem.select(data, ['EEE', 'VVV'], range(1, 4), criterion='bic', num_restarts=3, seed=5)"
    again = eval(call, {"jaxem": jaxem, "data": frame})
    pd.testing.assert_frame_equal(again.table, selection.table)


@pytest.mark.parametrize("prior", [jaxem.Prior(), jaxem.Prior(shrinkage=0.1, scale=[1.0, 2.0], floor=0.01)])
def test_the_call_names_the_prior(selection, prior):
    told = dataclasses.replace(selection, settings=selection.settings | {"prior": prior.to_dict()})
    word = re.search(r"prior=(.*), seed=5\)$", report.call(told))[1]
    assert jaxem.Prior.checked(eval(word, {"jaxem": jaxem})).to_dict() == prior.to_dict()


def test_without_a_choice_it_says_so():
    x = np.repeat([[0.0, 0.0], [1.0, 2.0]], 20, axis=0)
    page = report.page(jaxem.select(x, "VVI", 2, num_restarts=3))
    assert "No fit can be chosen" in page
    assert "<table>" in page


def test_is_written_whole(selection, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")
    monkeypatch.setattr(report, "page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        selection.report(path)
    assert path.read_text() == "before"
    monkeypatch.undo()
    selection.report(path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_page_says_how_python_counts(page):
    assert page.count("in Python cluster 1 is number 0") == 1


def by_number(said, title="cluster"):
    """The lines of a table by their first cell."""
    lines = said.splitlines()
    first = next(number for number, line in enumerate(lines) if line.split()[:1] == [title])
    return {line.split()[0]: line for line in itertools.takewhile(str.strip, lines[first + 1 :])}


class TestPrint:
    """What a reader of the printed text needs to know is there."""

    def test_a_fit_has_its_level_its_reason_and_its_clusters(self, fitted, faithful):
        said = told(fitted)
        for number in (fitted.log_likelihood, fitted.bic, fitted.icl):
            assert f"{number:.1f}" in said
        for word in ("EEE with K = 3", "272 rows", "eruptions", "waiting", "converged", "High: "):
            assert word in said
        rows = by_number(said)
        labels = fitted.predict(faithful)
        for k in range(3):
            cells = rows[str(k)].split()
            assert int(cells[2]) == (labels == k).sum()
            assert float(cells[3]) == pytest.approx(fitted.params.means[k, 0], abs=0.006)

    def test_noise_has_its_share(self, x, rng):
        scattered = np.vstack([x, rng.uniform([1, 30], [6, 120], size=(40, 2))])
        fit = jaxem.fit(scattered, "VVV", 2, noise=True, num_restarts=4, moves=False)
        assert "VVV with K = 2 (noise): 312 rows" in told(fit)
        cells = by_number(told(fit))["-1"].split()
        assert cells == ["-1", f"{fit.noise_weight:.2f}", str((fit.predict(scattered) == -1).sum())]

    def test_rates_are_told_of_counts(self, earthquakes):
        fit = jaxem.fit(earthquakes, "poisson", 2, num_restarts=4)
        assert "rates: expected count" in told(fit)
        assert "rates[:, 0]" in told(fit.params)

    def test_what_is_not_known_is_not_told(self, fitted):
        fit = jaxem.Fit.from_sklearn(fitted.to_sklearn())
        said = told(fit)
        assert "nan" not in said
        assert "an unknown number of rows" in said
        assert "stops where a step is small" in said

    @pytest.mark.parametrize(("k", "d"), [(30, 50), (30, 2), (3, 50), (9, 4), (1, 1)])
    def test_large_fits_are_cut_and_say_so(self, fitted, rng, k, d):
        params = jaxem.Params(
            weights=np.full(k, 1 / k),
            means=100 * rng.normal(size=(k, d)),
            covariances=np.eye(d) * np.arange(1.0, k + 1)[:, None, None],
        )
        names = tuple(f"a_rather_long_name_{j:02}" for j in range(d))
        fit = dataclasses.replace(
            fitted, params=params, num_components=k, columns=names, sizes=np.full(k, 5.0), num_rows=5.0 * k
        )
        assert ("clusters of 30" in told(fit).replace("\n ", "")) == (k == 30)
        assert (f"of {d} that set" in told(fit).replace("\n ", "")) == (d == 50)
        assert ("not shown" in told(params)) == (k == 30 or d == 50)
        assert (f"columns of {d}" in told(params).replace("\n ", "")) == (d == 50)

    def test_params_have_every_small_number(self, selection):
        for params in (selection["VVV", 3].params, selection["EEE", 3].params):
            numbers = [float(word) for word in told(params).split() if re.fullmatch(r"-?[\d.]+(e-?\d+)?", word)]
            for array in params.asdict().values():
                for number in array.ravel():
                    assert np.isclose(numbers, number, rtol=1e-3).any()

    def test_a_selection_has_its_choice_and_what_is_behind(self, selection):
        said = told(selection)
        prose = " ".join(said.split())
        for sentence in (*selection.trust_report, *selection.warnings):
            assert sentence in prose
        best, second = selection.ranking()[:2]
        assert f"Chosen: {best.family} with K = {best.num_components}: BIC {best.bic:.1f}" in said
        assert f"{second.bic - best.bic:.1f}" in said
        assert all(f"{fit.bic:.1f}" in said for fit in selection.ranking()[:5])

    def test_without_a_choice_it_says_why(self):
        rows = np.repeat([[0.0, 0.0], [1.0, 2.0]], 20, axis=0)
        assert "No fit can be chosen" in told(jaxem.select(rows, "VVI", 2, num_restarts=3))

    def test_a_test_has_its_replicates(self, faithful):
        early = bootstrap_lrt(faithful["waiting"], "E", 2, num_replicates=99, stop_after=5)
        assert early.stopped
        said = told(early)
        assert "stopped early" in said
        assert str(len(early.replicates)) in said.split()
        assert f"{early.p_value:.4f}" in said
        whole = dataclasses.replace(early, stopped=False, num_failed=3)
        assert "3 more had no usable fit" in told(whole)
        assert "stopped early" not in told(whole)

    def test_resamples_have_their_tables(self, selection, frame):
        held_out = selection.cross_validate(frame, 5, num_restarts=1)
        said = told(held_out)
        for family, k in held_out.scores:
            assert re.search(rf"{family} +{k} .*{np.mean(held_out.scores[family, k]):.4f}", said)
        stable = selection.stability(frame, 10, num_restarts=1)
        said = told(stable)
        assert stable.sentence() in " ".join(said.split())
        assert all(f"{share:.3f}" in said for share in stable.table["share"])

    def test_merging_has_its_clusters(self, fitted, faithful):
        tree = jaxem.selection.merge(fitted, faithful)
        said = told(tree)
        for number, parts in enumerate(tree.partitions[tree.elbow]):
            assert by_number(said)[str(number)].split()[2] == ",".join(map(str, parts))
        assert all(f"{entropy:.2f}" in said for entropy in tree.entropy)
        many = dataclasses.replace(fitted, params=jaxem.Params(weights=np.full(30, 1 / 30)), num_components=30)
        partitions = {k: (*((j,) for j in range(k - 1)), tuple(range(k - 1, 30))) for k in range(1, 31)}
        told(dataclasses.replace(tree, fit=many, partitions=partitions, entropy=np.arange(30.0), elbow=25))
