"""The command: what it prints, what it writes, how it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import jax
import numpy as np
import pandas as pd
import pytest
from rich.text import Text
from scipy import sparse

import jaxem
import jaxem.selection
from jaxem import _answer, _process, _terminal, _traced, cli, problem, search, text
from jaxem import io as files


FILE = str(jaxem.datasets.path("faithful"))
SMALL = (
    "--family",
    "EEE,VVV",
    "--components",
    "1:4",
    "--restarts",
    "4",
)  # in shape as the fixture `selection`: compiled already


@dataclasses.dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def prose(self) -> str:
        """What was printed, without line breaks."""
        return " ".join(self.out.split())


def run(*arguments: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(list(arguments))
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What one run of `select` printed, and the folder it wrote."""
    folder = tmp_path_factory.mktemp("out") / "new" / "result"
    return run("select", FILE, *SMALL, "--out", str(folder)), folder


class TestReport:
    def test_it_says_what_was_asked_found_and_how_far_to_trust_it(self, written):
        report = written[0]
        assert report.status == 0
        assert report.err == ""  # no progress bar into a pipe
        for part in (
            "faithful.csv: 272 rows, 2 columns (eruptions, waiting), nothing missing.",
            "K = 1..4, 4 restarts each, seed 0",
            "2314.3*",  # mclust 6: EEE, 3 components, BIC -2314.296
            "Chosen: EEE with K = 3: BIC 2314.3, log-likelihood -1126.3, 11 parameters.",
            "4.47 ± 0.28   80.9 ± 5.8",
            "How far to trust it",
            "in Python cluster 1 is number 0",
            "The runner-up, ",
        ):
            assert part in (report.out if "  " in part else report.prose)
        assert "of it compiling. Written to" in report.prose

    def test_it_is_plain_text_of_80_columns(self, written):
        text = written[0].out
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= 80 + len(str(written[1]))  # only a long path may stick out
        assert all(line == line.rstrip() for line in text.splitlines())

    def test_quiet_is_one_line(self):
        report = run("select", FILE, *SMALL, "--quiet")
        assert report.out.startswith("Chosen: EEE with K = 3: BIC 2314.3")
        assert report.out.count("\n") == 1

    def test_fit_shows_one_model_and_no_table(self):
        report = run("fit", FILE, "--family", "EEE", "--components", "3", "--restarts", "4")
        assert report.status == 0
        assert "lower is better" not in report.out
        assert "Chosen: EEE with K = 3: BIC 2314.3" in report.out

    def test_columns_and_weights_are_taken_by_name(self, tmp_path, faithful):
        path = tmp_path / "weighted.csv"
        faithful.assign(name="geyser", n=2)[["name", "waiting", "n"]].to_csv(path, index=False)
        report = run("select", str(path), "--columns", "waiting", "--weights", "n", "--components", "1:2", "--restarts", "2")
        assert "1 column (waiting), nothing missing. Weights add up to 544." in report.prose

    def test_rates_are_shown_as_such(self, tmp_path, earthquakes):
        path = tmp_path / "counts.csv"
        earthquakes.to_csv(path, index=False)
        report = run("select", str(path), "--family", "poisson", "--components", "1:2", "--restarts", "2")
        assert "Family poisson, K = 1..2" in report.prose
        assert "rates: expected count" in report.out


class TestTable:
    def test_marks_say_which_cells_not_to_trust(self, selection):
        table = selection.table.copy()
        table.loc[0, ["log_likelihood", "bic"]] = np.nan
        table["spurious"] = table.index == 1
        table["trust"] = ["low" if row == 3 else "high" for row in table.index]
        cells = tuple(table.to_dict(orient="records"))
        lines = [line.plain for line in _terminal.criterion_table(dataclasses.replace(selection, cells=cells), 80)]
        first = table["bic"].map("{:.1f}".format)
        assert lines[2].split() == ["EEE", "-", f"{first[1]}~", f"{first[2]}*", f"{first[3]}?"]
        legend = " ".join(lines[4:])
        assert all(meaning in legend for meaning in ("* chosen", "? of low trust", "~ next to singular", "- no fit"))

    def test_nine_numbers_of_components_fit_into_80_columns(self, selection):
        nine = tuple(selection.cells[0] | {"num_components": k, "bic": 1234.5} for k in range(1, 10))
        lines = _terminal.criterion_table(dataclasses.replace(selection, cells=nine, fits={}), 80)
        assert len([line for line in lines if line.plain.strip().startswith("EEE")]) == 1
        assert max(line.cell_len for line in lines) <= 80

    def test_what_is_too_wide_is_split_evenly(self):
        columns = [[Text("K"), Text("EEE")], *([Text(str(k)), Text("1000.0")] for k in range(1, 31))]
        lines = [line.plain for line in _terminal.grid(columns, 80)]
        assert max(map(len, lines)) <= 80
        heads = [line.split() for line in lines if line.strip().startswith("K")]
        assert [len(head) - 1 for head in heads] == [8, 8, 8, 6]
        assert [name for head in heads for name in head[1:]] == [str(k) for k in range(1, 31)]

    def test_many_columns_stand_below_each_other(self, fitted):
        d = 30
        means = np.arange(3.0)[:, None] * np.linspace(0, 1, d)
        params = jaxem.Params(weights=fitted.params.weights, means=means, covariances=np.tile(np.eye(d), (3, 1, 1)))
        wide = dataclasses.replace(fitted, params=params, columns=tuple(f"a_rather_long_name_{j:02}" for j in range(d)))
        lines = [line.plain for line in _terminal.cluster_table(wide, 80)]
        assert lines[0].split() == ["cluster", "1", "2", "3"]
        assert "20 columns of 30" in " ".join(lines)
        assert "a_rather_long_name_…" in " ".join(lines)
        assert max(map(len, lines)) <= 80

    @pytest.mark.parametrize(
        ("value", "sd", "shown"),
        [
            (80.8727, 5.8, "80.9"),
            (4.4657, 0.279, "4.47"),
            (81234.5, 950.0, "81234"),
            (3.2e-9, 1.4e-10, "3.2e-09"),
            (6.02e23, 1e21, "6.02e+23"),
            (0.0004, 1.2, "0.0004"),
            (0.0, 1.2, "0.0"),
        ],
    )
    def test_digits_follow_the_spread(self, value, sd, shown):
        assert text.numbers(np.array([value]), np.array([sd])) == [shown]


class TestTerms:
    def test_a_prior_is_passed_on(self, faithful):
        asked = {"num_restarts": 4, "moves": False, "prior": "fraley-raftery"}
        outcome = run("fit", FILE, "--components", "2", "--restarts", "4", "--no-moves", "--prior", "fraley-raftery", "--json")
        told = json.loads(outcome.out)["best"]
        assert told["log_likelihood"] == jaxem.fit(faithful, "VVV", 2, **asked).log_likelihood
        assert told["log_likelihood"] < jaxem.fit(faithful, "VVV", 2, num_restarts=4, moves=False).log_likelihood

    def test_an_unknown_prior_is_named(self):
        outcome = run("select", FILE, "--prior", "flat")
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err == "jaxem: prior must be None, 'fraley-raftery' or a jaxem.Prior, got 'flat'\n"


class TestProgress:
    def test_only_on_a_terminal_and_only_if_wanted(self, monkeypatch):
        with _answer._progress(True) as tell:
            assert tell is None
        screen = io.StringIO()
        screen.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", screen)
        with _answer._progress(False) as tell:
            assert tell is None
        with _answer._progress(True) as tell:
            tell("starts", 3, 20, float("nan"))
            tell("moves, round 1", 0, 7, 2314.296)
        assert "moves, round 1" in screen.getvalue()
        plain = Text.from_ansi(screen.getvalue()).plain
        assert "0/7 runs best BIC 2314.3" in " ".join(plain.split())


class TestFiles:
    def test_out_holds_every_result(self, written):
        folder = written[1]
        pictures = {"criteria.png", "clusters.png"}
        assert {path.name for path in folder.iterdir()} == {"selection.json", "runs.csv", "model.npz", *pictures}
        best = json.loads((folder / "selection.json").read_text())["best"]
        model = jaxem.load(folder / "model.npz")
        assert (model.family, model.num_components, model.bic) == (best["family"], best["num_components"], best["bic"])
        runs = pd.read_csv(folder / "runs.csv")
        assert (runs[runs["origin"] == "start"].groupby(["family", "num_components"]).size() == [1, 4, 4, 4] * 2).all()
        assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)

    def test_json_is_one_object_and_nothing_else(self, faithful):
        printed = run("select", FILE, *SMALL, "--json", "--seed", "7")
        assert printed.err == ""
        told = json.loads(printed.out)
        same = jaxem.select(faithful, ["EEE", "VVV"], range(1, 5), num_restarts=4, seed=7)
        assert told == json.loads(same.to_json())

    def test_predict_adds_clusters_and_probabilities(self, written, tmp_path, faithful):
        table, out = tmp_path / "table.csv", tmp_path / "clusters.csv"
        named = faithful.assign(name="geyser")[["waiting", "name", "eruptions"]]
        named.to_csv(table, index=False)
        printed = run("predict", str(written[1] / "model.npz"), str(table))
        assert printed.status == 0
        assert run("predict", str(written[1] / "model.npz"), str(table), "--out", str(out)).out == ""
        assert out.read_text() == printed.out
        got = pd.read_csv(io.StringIO(printed.out))
        pd.testing.assert_frame_equal(got[list(named)], named, check_dtype=False)
        np.testing.assert_array_equal(got["cluster"], jaxem.load(written[1] / "model.npz").predict(faithful) + 1)
        np.testing.assert_allclose(got.filter(like="probability_").sum(axis=1), 1)

    def test_predict_overwrites_no_column(self, written, tmp_path, faithful):
        faithful.assign(cluster=1).to_csv(tmp_path / "t.csv", index=False)
        refused = run("predict", str(written[1] / "model.npz"), str(tmp_path / "t.csv"))
        assert (refused.status, refused.out) == (2, "")
        assert "'cluster' already" in refused.err

    def test_datasets_are_listed_described_and_copied(self, tmp_path):
        assert all(f"{name}: " in run("datasets").out for name in jaxem.datasets.names())
        assert "Cite: Azzalini" in run("datasets", "faithful").out
        assert run("datasets", "faithful", "--out", str(tmp_path / "copy.csv")).status == 0
        assert (tmp_path / "copy.csv").read_text() == Path(FILE).read_text()
        assert "'iris'" in run("datasets", "irs").err
        assert run("datasets", "--out", str(tmp_path / "x")).status == 2

    @pytest.mark.slow
    def test_report_is_one_page(self, tmp_path):
        outcome = run("select", FILE, *SMALL, "--report", str(tmp_path / "new" / "report.html"))
        assert "The report is" in outcome.prose
        assert (tmp_path / "new" / "report.html").read_text().startswith("<!doctype html>")

    def test_version(self):
        assert run("--version").out.split() == ["jaxem", jaxem.__version__]


class TestReading:
    @pytest.mark.parametrize(
        ("text", "columns"),
        [
            ("a,b\n1,2.5\n3,4.5\n", ["a", "b"]),
            ("\ufeffa,b\n1,2.5\n3,4.5\n", ["a", "b"]),
            ("a\tb\r\n1\t2.5\r\n3\t4.5\r\n", ["a", "b"]),
            ("a;b\n1;2,5\n3;4,5\n", ["a", "b"]),
            ("a  b\n 1 2.5\n 3 4.5\n", ["a", "b"]),
            ("1,2.5\n3,4.5\n", ["x1", "x2"]),
            ('"","a","b"\n"1",1,2.5\n"2",3,4.5\n', ["a", "b"]),  # R's write.csv
            ('"a" "b"\n"1" 1 2.5\n"2" 3 4.5\n', ["a", "b"]),  # R's write.table
            ('"a, b",c\n1,2.5\n3,4.5\n', ["a, b", "c"]),
        ],
    )
    def test_tables_as_people_write_them(self, tmp_path, text, columns):
        path = tmp_path / "table.txt"
        path.write_bytes(text.encode())
        name, frame = files.read_table(str(path))
        assert name == "table.txt"
        assert list(frame.columns) == columns
        np.testing.assert_array_equal(frame.to_numpy(), [[1, 2.5], [3, 4.5]])

    def test_names_that_are_numbers_count_where_they_are_asked_for(self, tmp_path):
        """A header of years looks like a row; who asks for a year by name says what it is."""
        path = tmp_path / "years.csv"
        path.write_text("2019,2020\n1,2\n3,4.5\n2,2\n")
        by_pandas, plain = files.read_table(str(path), None, ["2020"])[1], files.read_plain(str(path), ["2020"])
        assert list(by_pandas.columns) == plain[1].columns == ["2019", "2020"]
        np.testing.assert_array_equal(by_pandas["2020"], plain[1]["2020"])
        assert len(by_pandas) == len(plain[1]) == 3
        for wanted in ([], ["x1"], ["2019", "2021"]):
            assert list(files.read_table(str(path), None, wanted)[1].columns) == ["x1", "x2"]
        path.write_text("2,2\n1,2\n")  # names are distinct
        assert len(files.read_table(str(path), None, ["2"])[1]) == 2
        path.write_text("2019,2020\n" + "1,2\n3,4.5\n2,2\n" * 3)
        model = str(tmp_path / "out" / "model.npz")
        done = run("fit", str(path), "--columns", "2019,2020", "--components", "1", "--out", str(tmp_path / "out"), "--quiet")
        assert done.status == 0
        assert run("predict", model, str(path), "--quiet").out.split() == ["1"] * 9

    def test_one_column_and_standard_input(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"v\n0.1\n0.30000000000000004\n")))
        name, frame = files.read_table("-")
        assert name == "standard input"
        np.testing.assert_allclose(frame["v"], [0.1, 0.30000000000000004], rtol=1e-15)

    @pytest.mark.parametrize(
        ("text", "numbers"), [("1:4", [1, 2, 3, 4]), ("3", [3]), ("2,5,9", [2, 5, 9]), ("1:2,5:6", [1, 2, 5, 6])]
    )
    def test_numbers_of_components(self, text, numbers):
        assert _answer.numbers(text) == numbers

    def test_names_between_commas(self):
        assert _answer.listed('a, "b, c",d') == ["a", "b, c", "d"]


def saved(array) -> bytes:
    """An array as NPY."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(*members) -> bytes:
    """A ZIP archive of empty files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            archive.writestr(member, "")
    return buffer.getvalue()


def embedded(path, array, **matrices) -> Path:
    """Annotated data as anndata lays them out, with two embeddings."""
    with h5py.File(path, "w") as file:
        for name, values in {"X": array, "obsm/X_pca": array[:, :1], **matrices}.items():
            file[name] = values
        for axis, names in {"obs": ["c1", "c2", "c3"], "var": ["gene 1", "gene 2"]}.items():
            file[f"{axis}/_index"] = names
            file[axis].attrs["_index"] = "_index"
    return path


class TestFormats:
    TABLE = pd.DataFrame({"a": [1, 3, 5], "b": [2.5, np.nan, 4.5]})

    @pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.npy", "t.npz", "t.h5ad", "t.csv.gz", "t.tsv"])
    def test_every_format_says_the_same(self, tmp_path, name):
        path, array = tmp_path / name, self.TABLE.to_numpy()
        {
            "t.parquet": self.TABLE.to_parquet,
            "t.feather": self.TABLE.to_feather,
            "t.npy": lambda path: np.save(path, array),
            "t.npz": lambda path: np.savez(path, rows=array),
            "t.h5ad": lambda path: embedded(path, array),
            "t.csv.gz": lambda path: self.TABLE.to_csv(path, index=False),
            "t.tsv": lambda path: self.TABLE.to_csv(path, index=False, sep="\t"),
        }[name](path)
        said, frame = files.read_table(str(path))
        assert said == name
        np.testing.assert_array_equal(frame.to_numpy(dtype=float), array)
        columns = {"t.npy": ["x1", "x2"], "t.npz": ["x1", "x2"], "t.h5ad": ["gene 1", "gene 2"]}
        assert list(frame.columns) == columns.get(name, ["a", "b"])

    def test_arrays_are_chosen_by_name(self, tmp_path):
        np.savez(tmp_path / "two.npz", one=np.arange(3), two=np.array([(1, 2.0)], dtype=[("n", int), ("w", float)]))
        with pytest.raises(ValueError, match=r"two\.npz holds several arrays: choose with --array one or two"):
            files.read_table(str(tmp_path / "two.npz"))
        with pytest.raises(ValueError, match="has no array 'three'"):
            files.read_table(str(tmp_path / "two.npz"), "three")
        assert list(files.read_table(str(tmp_path / "two.npz"), "two")[1].columns) == ["n", "w"]
        path = embedded(tmp_path / "cells.h5ad", self.TABLE.to_numpy())
        frame = files.read_table(str(path), "X_pca")[1]
        assert (list(frame.columns), list(frame.index)) == (["X_pca1"], ["c1", "c2", "c3"])
        (tmp_path / "t.parquet").write_bytes(self.TABLE.to_parquet())
        with pytest.raises(ValueError, match="--array is for NPZ and h5ad"):
            files.read_table(str(tmp_path / "t.parquet"), "a")

    @pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix"])
    def test_sparse_matrices_are_understood(self, tmp_path, kind):
        dense = np.array([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
        matrix = getattr(sparse, kind)(dense)
        path = embedded(tmp_path / "cells.h5ad", dense)
        with h5py.File(path, "a") as file:
            del file["X"]
            for part in ("data", "indices", "indptr"):
                file[f"X/{part}"] = getattr(matrix, part)
            file["X"].attrs.update({"encoding-type": kind, "shape": dense.shape})
        np.testing.assert_array_equal(files.read_table(str(path))[1], dense)

    def test_what_is_not_installed_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "t.parquet").write_bytes(self.TABLE.to_parquet())
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        assert_refused(
            run("select", str(tmp_path / "t.parquet")), "Parquet needs the package pyarrow: python -m pip install pyarrow"
        )

    def test_predict_writes_parquet(self, written, tmp_path, faithful):
        out = tmp_path / "clusters.parquet"
        assert run("predict", str(written[1] / "model.npz"), FILE, "--out", str(out)).out == ""
        frame = pd.read_parquet(out)
        assert list(frame.columns) == ["eruptions", "waiting", "cluster", "probability_1", "probability_2", "probability_3"]
        assert len(frame) == len(faithful)

    def test_predict_as_json_and_in_one_column(self, written, faithful):
        model = str(written[1] / "model.npz")
        told = json.loads(run("predict", model, FILE, "--json").out)
        assert told["cluster"] == (jaxem.load(model).predict(faithful) + 1).tolist()
        np.testing.assert_allclose(np.sum(told["probability"], axis=1), 1)
        assert run("predict", model, FILE, "--quiet").out.split() == list(map(str, told["cluster"]))

    def test_datasets_as_json(self):
        assert [each["name"] for each in json.loads(run("datasets", "--json").out)] == list(jaxem.datasets.names())
        assert run("datasets", "--quiet").out.split() == list(jaxem.datasets.names())


class TestCompletion:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            ("jaxem sel", {"select"}),
            ("jaxem select t.csv --criterion b", {"bic"}),
            ("jaxem select t.csv --family EEE,V", {"EEE,VII", "EEE,VVI", "EEE,VVV"}),
            ("jaxem datasets f", {"faithful"}),
        ],
    )
    def test_words_are_completed(self, words, found, monkeypatch):
        monkeypatch.setenv("_JAXEM_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit, match="0"):
            cli.main([])
        assert found <= set(out.getvalue().split())


BAD_FILES = {
    "empty.csv": (b"", "empty.csv is empty"),
    "blank.csv": (b"\n \n", "blank.csv is empty"),
    "header.csv": (b"a,b\n", "a header but no rows"),
    "binary.csv": (b"\x7fELF\0\0", "is no table: CSV, TSV, Parquet, "),
    "zip.npz": (b"PK\x03\x04\0\0", "zip.npz is a damaged NPZ file"),
    "sheet.xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "sheet.xlsx is an Excel workbook: save the sheet as CSV"),
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "old.xls is an Excel workbook: save the sheet as CSV"),
    "sheet.ods": (zipped("mimetype", "content.xml"), "sheet.ods is an OpenDocument file: save the sheet as CSV"),
    "tables.zip": (zipped("a.csv", "b.csv"), "tables.zip is a ZIP archive without arrays: unpack it"),
    "cut.npy": (b"\x93NUMPY\x01", "cut.npy cannot be read as an array of numbers"),
    "objects.npy": (saved(np.array([{}])), "cannot be read as an array of numbers"),
    "deep.npy": (saved(np.zeros((2, 2, 2))), "holds an array of shape (2, 2, 2)"),
    "cut.parquet": (b"PAR1 and no more", "cut.parquet is a damaged Parquet file"),
    "cut.feather": (b"ARROW1 and no more", "cut.feather is a damaged Feather file"),
    "cut.h5ad": (b"\x89HDF and no more", "cut.h5ad is a damaged HDF5 file"),
    "cut.gz": (b"\x1f\x8b and no more", "cut.gz is a damaged gzip file"),
    "ragged.csv": (b"a,b\n1,2\n3,4,5\n", "line 3"),
    "text.csv": (
        b"a,b,c\n1,x,2\n3,y,4\n",
        "column 'b' is not numeric (row 1 holds 'x'); choose numeric ones with --columns a,c",
    ),
    "letters.csv": (b"a\nx\ny\n", "the file has no numeric column"),
    "infinite.csv": (b"a,b\n1,2\n3,inf\n-inf,4\n", "row 2, column 'b' is infinite"),
    "hollow.csv": (b"a,b\n1,\n3,\n", "column 'b' has no cell that is not missing"),
    "constant.csv": (b"a,b\n1,2\n1,2\n", "every column is constant"),
}
BAD_WORDS = [
    (["select", "no_such.csv"], "no such file: no_such.csv"),
    (["select", "."], "cannot read ."),
    (["select", FILE, "--columns", "waitng"], "did you mean 'waiting'?"),
    (["select", FILE, "--weights", "n"], "no column 'n'"),
    (["select", FILE, "--family", "VVVV"], "did you mean 'VVV'?"),
    (["select", FILE, "--family", "foo"], "unknown family 'foo': known are "),
    (["select", FILE, "--family", "poisson"], "needs counts"),
    (["select", FILE, "--criterion", "bicc"], "criterion must be one of"),
    (["select", FILE, "--components", "0:3"], "from 1 up"),
    (["select", FILE, "--components", "3:1"], "from 1 up"),
    (["select", FILE, "--components", "1:2:3"], "from 1 up"),
    (["select", FILE, "--components", "many"], "from 1 up"),
    (["select", FILE, "--restarts", "0"], "--restarts"),
    (["select", FILE, "--seed", "-1"], "--seed"),
    (["select", FILE, "--no-such-option"], "see jaxem select --help"),
    (["select"], "Missing argument"),
    (["selct", FILE], "No such command 'selct'"),
    (["fit", FILE], "--components"),
    (["fit", FILE, "--components", "0"], "--components"),
    (["fit", FILE, "--components", "2", "--family", "gaussian"], "fit takes one family"),
    (["predict", "no_such.npz", FILE], "no such file: no_such.npz"),
    (["predict", FILE, FILE], "not a saved jaxem fit"),
]


def assert_refused(outcome: Outcome, why: str) -> None:
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("jaxem: ")
    assert outcome.err.count("\n") == 1
    assert why in outcome.err


class TestBadInput:
    """One sentence on stderr, status 2, nothing written."""

    @pytest.mark.parametrize("name", BAD_FILES)
    def test_files(self, tmp_path, name):
        content, why = BAD_FILES[name]
        (tmp_path / name).write_bytes(content)
        assert_refused(run("select", str(tmp_path / name), "--out", str(tmp_path / "new" / "out"), "--json"), why)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize(("arguments", "why"), BAD_WORDS)
    def test_words(self, tmp_path, monkeypatch, arguments, why):
        monkeypatch.chdir(tmp_path)
        out = ["--out", "new/out"] if arguments[0] in ("select", "fit", "predict") else []
        assert_refused(run(*arguments, *out), why)
        assert list(tmp_path.iterdir()) == []

    def test_text_among_what_is_no_column_of_the_data(self, tmp_path):
        """There is another advice for labels, weights and the columns of a model than to leave them out."""
        (tmp_path / "table.csv").write_text("a,b,kind\n" + "1,2,x\n5,6,y\n3,1,x\n" * 9)
        table = str(tmp_path / "table.csv")
        refused = "column 'kind' is not numeric (row 1 holds 'x'); a "
        for option, advice in (("--labels", "label is the number of a cluster"), ("--weights", "weight is a number")):
            outcome = run("fit", table, "--components", "2", "--columns", "a,b", option, "kind")
            assert_refused(outcome, refused + advice)
        model = str(tmp_path / "model.npz")
        jaxem.fit(np.random.default_rng(0).normal(size=(20, 1)), "V", 1).save(model)
        (tmp_path / "new.csv").write_text("x1\n1\n?\n")
        assert_refused(run("predict", model, str(tmp_path / "new.csv")), "holds '?'); leave a cell empty where it is missing")

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        taken = tmp_path / "taken"
        taken.write_text("a file")
        assert_refused(run("select", FILE, "--out", str(taken)), "cannot write to")
        assert_refused(run("select", FILE, "--out", str(taken / "below")), "it is not a folder")
        assert taken.read_text() == "a file"

    def test_a_question_without_an_answer_is_status_1(self, tmp_path):
        (tmp_path / "pairs.csv").write_text("a,b\n" + "1,2\n5,6\n" * 3)
        outcome = run("select", str(tmp_path / "pairs.csv"), "--components", "3:4", "--out", str(tmp_path / "out"))
        assert outcome.status == 1
        assert "only 2 distinct rows" in outcome.out
        assert outcome.err.startswith("jaxem: no fit can be chosen (too few distinct rows)")
        assert "model.npz" not in [path.name for path in (tmp_path / "out").iterdir()]

    def test_the_traceback_can_be_had(self, monkeypatch):
        monkeypatch.setenv("JAXEM_TRACEBACK", "1")
        with pytest.raises(ValueError, match="no such file"):
            run("select", "no_such.csv")


class TestInterrupted:
    def test_one_line_status_130_and_nothing_left(self, tmp_path, monkeypatch):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(jaxem.selection, "select", interrupted)
        outcome = run("select", FILE, "--out", str(tmp_path / "new" / "out"))
        assert (outcome.status, outcome.out, outcome.err.strip()) == (130, "", "jaxem: interrupted")
        assert list(tmp_path.iterdir()) == []

    def test_what_was_finished_is_kept(self, tmp_path, monkeypatch):
        """Ctrl-C in the moves: the starts have been run to convergence."""

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(search.Search, "from_moves", interrupted)
        outcome = run("select", FILE, *SMALL, "--out", str(tmp_path / "out"))
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.startswith("jaxem: what was finished is kept. Written to ")
        assert outcome.err.endswith("\njaxem: interrupted\n")
        assert jaxem.load(tmp_path / "out" / "model.npz").num_components in (2, 3)

    def test_what_a_subsample_has_told_is_kept(self, tmp_path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(problem, "SUBSAMPLE", 60)
        monkeypatch.setattr(search.Search, "from_scouts", interrupted)
        outcome = run("select", FILE, *SMALL, "--out", str(tmp_path / "out"))
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.startswith("jaxem: what a part of the rows has told is kept. Written to ")
        assert not jaxem.load(tmp_path / "out" / "model.npz").converged

    @pytest.mark.parametrize("finishing", [False, True], ids=["before", "after"])
    def test_in_the_starts(self, tmp_path, monkeypatch, finishing):
        """Ctrl-C before any run has converged, and just after some have."""
        finish = search.Batch.finish

        def interrupted(*args):
            if finishing:
                finish(*args)
            raise KeyboardInterrupt

        monkeypatch.setattr(search.Batch, "finish", interrupted)
        outcome = run("select", FILE, *SMALL, "--out", str(tmp_path / "out"))
        assert (outcome.status, outcome.out) == (130, "")
        assert outcome.err.endswith("\njaxem: interrupted\n")
        if finishing:
            assert outcome.err.startswith("jaxem: what was finished is kept. Written to ")
            assert jaxem.load(tmp_path / "out" / "model.npz").converged
        else:
            assert outcome.err.startswith("jaxem: nothing was finished yet, so there is nothing to keep")
            assert list(tmp_path.iterdir()) == []

    def test_no_file_is_half_written(self, tmp_path, monkeypatch, selection, faithful):
        replace, written = Path.replace, []

        def interrupted(self, target):
            written.append(Path(target).name)
            if len(written) == 2:
                raise KeyboardInterrupt
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.write_selection(selection, faithful, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == written[:1]
        json.loads((tmp_path / written[0]).read_text())

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_the_process_itself(self, tmp_path):
        pipe = tmp_path / "pipe.csv"
        os.mkfifo(pipe)
        command = [sys.executable, "-m", "jaxem", "select", str(pipe)]
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has children ignore it
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        signal.signal(signal.SIGINT, before)
        with pipe.open("w"):  # returns when the process is about to read
            for _ in range(10):  # as a person would: an interrupt that falls into a callback is lost
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
                    break
            else:
                process.kill()
        out, err = process.communicate()
        assert (process.returncode, out, err.strip()) == (130, "", "jaxem: interrupted")


class TestProcess:
    def test_help_does_not_wait_for_jax(self):
        code = "import sys; from jaxem.cli import main; main(['--help']); print({'jax', 'numpy', 'pandas'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "jaxem select table.csv" in done.stdout
        assert done.stdout.endswith("set()\n")

    @pytest.mark.parametrize("command", ["select", "fit", "predict", "datasets"])
    def test_help_teaches_by_example(self, command):
        page = run(command, "--help")
        assert page.status == 0
        assert f"Examples:\n    jaxem {command}" in page.out
        assert max(map(len, page.out.splitlines())) <= 80

    def test_compiled_programs_are_kept_unless_told_otherwise(self, tmp_path, monkeypatch):
        names = ("dir", "min_compile_time_secs", "min_entry_size_bytes")
        options = ["jax_compilation_cache_dir", *(f"jax_persistent_cache_{name}" for name in names[1:])]
        before = {name: getattr(jax.config, name) for name in options}
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.delenv("JAXEM_CACHE", raising=False)
        blocked = tmp_path / "file"
        blocked.write_text("")
        try:
            for home, wanted, setting, expected in [
                (tmp_path, False, "", None),
                (tmp_path, True, "off", None),
                (blocked, True, "", None),
                (tmp_path, True, "", str(tmp_path / "jaxem")),
            ]:
                jax.config.update("jax_compilation_cache_dir", None)
                monkeypatch.setenv("XDG_CACHE_HOME", str(home))
                monkeypatch.setenv("JAXEM_CACHE", setting)
                _process.keep_compiled(wanted)
                assert jax.config.jax_compilation_cache_dir == expected
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            _traced.keep_in(None)

    def test_programs_on_disk_are_pruned_once_a_day(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_process, "MOST_BYTES", 25)
        now = time.time()

        def kept():
            return {path.name for path in tmp_path.iterdir()}

        for name, days in [("a-cache", 1), ("b.jaxexport", 2), ("c-cache", 3), ("old.jaxexport", 61), ("notes.txt", 99)]:
            (tmp_path / name).write_bytes(bytes(10))
            os.utime(tmp_path / name, (now - days * _process.DAY, now - 100 * _process.DAY))  # long there, used later
        _process._prune(tmp_path)
        assert kept() == {"a-cache", "b.jaxexport", "notes.txt", "pruned"}
        os.utime(tmp_path / "b.jaxexport", (now - 61 * _process.DAY,) * 2)
        _process._prune(tmp_path)
        assert "b.jaxexport" in kept()
        os.utime(tmp_path / "pruned", (now - 2 * _process.DAY,) * 2)
        _process._prune(tmp_path)
        assert kept() == {"a-cache", "notes.txt", "pruned"}
        _process._prune(tmp_path / "not there")

    def test_a_program_that_another_command_deletes_is_no_trouble(self, tmp_path, monkeypatch):
        for name in ("a-cache", "b-cache"):
            (tmp_path / name).write_bytes(bytes(10))
        monkeypatch.setattr(_process, "MOST_DAYS", -1)
        unlink = Path.unlink
        monkeypatch.setattr(Path, "unlink", lambda path: [unlink(path), unlink(path)])
        _process._prune(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"pruned"}


def test_what_is_compiled_at_the_same_time_counts_once():
    spent = _process.compiling()
    for event, seconds in {"compile/one": 0.5, "compile/beside": 0.2, "compile/around": 0.6, "pjit/other": 9.0}.items():
        jax.monitoring.record_event_duration_secs(f"/jax/core/{event}", seconds)
    assert spent() == pytest.approx(0.6, abs=0.1)
