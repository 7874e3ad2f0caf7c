"""The commands `posterior` and `compare`: reports, JSON, files, exit statuses."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

import jaxem
from jaxem import _bayesian
from jaxem.cli import main


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "counts.csv"
    jaxem.datasets.load("earthquakes")[["count"]].to_csv(path, index=False)
    return path


ASKED = ["--family", "poisson", "--components", "2", "--samples", "300", "--warmup", "100", "--no-cache"]


@pytest.mark.slow
def test_posterior_prints_a_table_and_both_optima(counts, capsys):
    assert main(["posterior", str(counts), *ASKED]) == 0
    said = capsys.readouterr().out
    assert "poisson with K = 2: " in said
    assert "Log-posterior at the optima" in said
    assert "rates[1, count]" in said
    assert "[0] is cluster 1 of jaxem predict" in said


@pytest.mark.slow
def test_posterior_as_json_and_in_a_folder(counts, capsys, tmp_path):
    assert main(["posterior", str(counts), *ASKED, "--json", "--out", str(tmp_path / "new")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"]["num_components"] == 2
    assert told["posterior"]["components"]["rates[0, count]"]["mean"] == pytest.approx(15.8, abs=0.5)
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        "model.npz",
        "draws.npz",
        "label_free.csv",
        "components.csv",
    }
    with np.load(tmp_path / "new" / "draws.npz", allow_pickle=False) as file:
        assert file["rates"].shape[1:] == (300, 2, 1)


@pytest.mark.slow
def test_compare_prints_and_writes_a_page(counts, capsys, tmp_path):
    arguments = [*ASKED, "--out", str(tmp_path)]
    arguments[3] = "1:2"
    assert main(["compare", str(counts), *arguments]) == 0
    assert "effective dimension" in capsys.readouterr().out
    assert (tmp_path / "comparison.html").read_text().count("<img ") == 5


@pytest.mark.slow
@pytest.mark.parametrize("command", ["posterior", "compare"])
def test_components_that_mean_nothing_are_no_answer(counts, capsys, tmp_path, command):
    """Six Poisson components for data that hold two or three: what has no labels is said, the rest is refused, and the status is 1."""
    arguments = [*ASKED, "--out", str(tmp_path)]
    arguments[3] = "6"
    assert main([command, str(counts), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("jaxem: Component-wise summaries mean nothing here: ")
    assert captured.err.count("\n") == 1
    assert "largest weight" in captured.out
    assert "rates[" not in captured.out
    assert (tmp_path / "label_free.csv").exists()
    assert not (tmp_path / "components.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--sampler", "hmc"], 2, "sampler must be one of 'auto'"),
        (["--prior", "flat"], 2, "prior must be one of 'weak'"),
        (["--components", "two"], 2, "--components takes numbers from 1 up"),
        (["--samples", "3"], 2, "--samples"),
        (["--columns", "size"], 2, "no column 'size'"),
    ],
)
def test_bad_input_is_a_sentence(counts, capsys, arguments, status, sentence):
    assert main(["posterior", str(counts), *ASKED, *arguments]) == status
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("command", ["posterior", "compare"])
def test_an_array_of_a_file_is_chosen(capsys, tmp_path, command):
    """What the sentence advises is an option here too; the sentence after it is that of the array which was asked for."""
    np.savez(tmp_path / "two.npz", one=np.ones((9, 1)), other=np.ones((9, 2)))
    assert main([command, str(tmp_path / "two.npz")]) == 2
    assert "choose with --array one or other" in capsys.readouterr().err
    assert main([command, str(tmp_path / "two.npz"), "--array", "other", "--columns", "size"]) == 2
    assert "no column 'size': it has x1, x2" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["posterior", "compare"])
@pytest.mark.parametrize(
    ("warnings", "end"), [((), "gibbs, no warnings.\n"), (("R-hat is 2.", "Stop."), "gibbs: R-hat is 2. Stop.\n")]
)
def test_quiet_is_one_line(selection, capsys, monkeypatch, command, warnings, end):
    """The choice, and what is wrong with the draws; nothing is sampled here."""
    lengths = {"num_chains": 4, "num_samples": 300, "sampler": "gibbs"}
    post = types.SimpleNamespace(fit=selection.best, warnings=warnings, meaningless="", **lengths)
    monkeypatch.setattr(_bayesian, "_sampled", lambda *_, **__: (selection, post))
    monkeypatch.setattr(jaxem.bayes, "compare_em_mcmc", lambda *_, **__: post)
    assert main([command, "table.csv", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Chosen: EEE with K = 3: BIC 2314.3, ")
    assert captured.out.endswith(f" 4 chains of 300 draws by {end}")
    assert captured.out.count("\n") == 1
    assert captured.err == ""


def test_gaussian_is_what_has_a_prior_among_other_names_too(counts, monkeypatch):
    """Of structures without a conjugate prior there are no draws; nothing is fitted here."""

    def select(frame, families, *_, **__):
        raise RuntimeError(",".join(families))

    monkeypatch.setattr(jaxem.selection, "select", select)
    for names, wanted in (("Gaussian", "V,E"), ("gaussian,poisson", "V,E,poisson")):
        with pytest.raises(RuntimeError, match=f"^{wanted}$"):
            _bayesian.posterior(str(counts), family=names, cache=False)


def test_help_is_by_example(capsys):
    for command in ("posterior", "compare"):
        assert main([command, "--help"]) == 0
        assert f"jaxem {command} table.csv" in capsys.readouterr().out
