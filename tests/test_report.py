"""The page of HTML: whole, self-contained, and true to its selection."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

import jaxem
from jaxem import report
from jaxem._page import prose


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
