"""`jaxem.select` and the `Selection` that comes of it: every cell and every run accounted for, the choice and its reasons."""

from __future__ import annotations

import dataclasses
import inspect
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxem
from jaxem import families, problem, tabular, trust
from jaxem._precision import precision
from jaxem._status import Status
from jaxem.cell import Cell, Run
from jaxem.options import Options
from jaxem.problem import Problem
from jaxem.selection import Interrupted


TABLE = [
    "family",
    "num_components",
    "log_likelihood",
    "num_params",
    "aic",
    "bic",
    "icl",
    "status",
    "num_steps",
    "replicated",
    "stable",
    "trust",
    "num_failed",
]
RUNS = ["family", "num_components", "seed", "start", "restart", "log_likelihood", "num_steps", "status"]


def test_the_call_is_as_designed():
    given = {name: p.default for name, p in inspect.signature(jaxem.select).parameters.items()}
    wanted = {"families": "gaussian", "num_components": range(1, 10), "criterion": "bic", "num_restarts": 20}
    wanted |= {"num_finalists": 5, "moves": True, "init": "portfolio", "weights": None, "tol": 1e-3, "max_steps": 2000}
    wanted |= {"seed": 0, "progress": None}
    assert list(given)[:3] == ["data", "families", "num_components"]
    assert wanted.items() <= given.items()


@pytest.mark.parametrize("name", ["table", "best", "runs", "warnings", "plot", "to_json", "report"])
def test_a_selection_has(selection, name):
    assert hasattr(selection, name)


def test_table_has_a_row_for_every_cell(selection):
    table = selection.table
    assert set(TABLE) <= set(table.columns)
    cells = list(zip(table["family"], table["num_components"], strict=True))
    assert cells == [(family, k) for family in ("EEE", "VVV") for k in range(1, 5)]
    for row in table.itertuples():
        fit = selection[row.family, row.num_components]
        for name in (
            "log_likelihood",
            "num_params",
            "aic",
            "bic",
            "icl",
            "num_steps",
            "replicated",
            "stable",
            "trust",
            "num_failed",
        ):
            assert getattr(row, name) == getattr(fit, name), name
        assert row.status == fit.status.name.lower()


def test_runs_have_a_row_for_every_run(selection):
    runs = selection.runs
    assert set(RUNS) <= set(runs.columns)
    starts = runs[runs["origin"] == "start"].groupby(["family", "num_components"]).size()
    assert starts.to_dict() == {(family, k): 20 if k > 1 else 1 for family in ("EEE", "VVV") for k in range(1, 5)}
    assert set(runs["origin"]) == {"start", "split", "merge"}
    finalists = runs[runs["finalist"] & ~runs["spurious"]]
    best = finalists.groupby(["family", "num_components"])["log_likelihood"].max()
    for (family, k), value in best.items():
        assert selection[family, k].log_likelihood == pytest.approx(value, abs=0.02)
    failed = (
        runs["status"].isin(["collapsed", "nonfinite", "decreased"]).groupby([runs["family"], runs["num_components"]]).sum()
    )
    assert [failed[row.family, row.num_components] for row in selection.table.itertuples()] == selection.table[
        "num_failed"
    ].tolist()


def test_a_subsample_with_missing_cells_and_weights_has_its_own_offset(x, monkeypatch):
    monkeypatch.setattr(Problem, "_subsample", lambda self: (np.arange(0, 272, 4), self.table.weight[::4]))
    x, weight = x.copy(), np.arange(1.0, 273.0)
    x[::8, 0] = np.nan
    with precision(np.float64):
        whole = Problem(tabular.read(x, weight, missing=True), families.resolve("EEE", 2), [3], Options.once())
    lacking = ~np.isnan(x) @ -np.log(np.diag(whole.units.scale))
    assert whole.sample_offset == pytest.approx(weight[::4] @ lacking[::4])
    assert whole.offset == pytest.approx(weight @ lacking)


def test_best_is_the_lowest(selection, faithful):
    table = selection.table.set_index(["family", "num_components"])
    for criterion in ("aic", "bic", "icl"):
        fit = selection.best_by(criterion)
        assert (fit.family, fit.num_components) == table[criterion].idxmin()
        values = [getattr(other, criterion) for other in selection.ranking(criterion)]
        assert values == sorted(values)
    assert selection.best is selection.best_by("bic")
    chosen = jaxem.select(faithful, ["EEE", "VVV"], range(1, 5), criterion="ICL")
    assert chosen.best.icl == min(chosen.table["icl"])


def test_fit_and_select_agree(selection, fitted):
    assert selection["EEE", 3].log_likelihood == pytest.approx(fitted.log_likelihood, abs=2e-3)
    assert (selection.best.family, selection.best.num_components) == ("EEE", 3)


def test_a_cell_that_is_not_there_says_why(selection):
    with pytest.raises(KeyError, match=r"a fit goes by \(family, num_components\), such as \('EEE', 1\); got 3"):
        selection[3]
    with pytest.raises(KeyError, match=r"no fit for \('VVI', 3\); there are \['EEE', 'VVV'\]"):
        selection["VVI", 3]


def test_numbers_of_components_are_a_set(faithful):
    options = {"num_restarts": 2, "num_finalists": 1, "moves": False}
    one = jaxem.select(faithful, "EEE", 2, **options)
    several = jaxem.select(faithful, "EEE", np.array([3, 2, 3]), **options)
    assert one.table["num_components"].tolist() == [2]
    assert several.table["num_components"].tolist() == [2, 3]
    assert several["EEE", 2].log_likelihood == pytest.approx(one["EEE", 2].log_likelihood, rel=1e-9)


def test_moves_go_on_until_nothing_improves(faithful):
    """What few components can do, more can as well: no start found it here, and it spreads from neighbour to neighbour."""
    how = {"num_restarts": 2, "init": "random-rows", "seed": 3}
    before = jaxem.select(faithful, "VVV", range(1, 6), moves=False, **how)
    after = jaxem.select(faithful, "VVV", range(1, 6), **how)
    assert np.diff(before.table["log_likelihood"]).min() < -1
    assert np.diff(after.table["log_likelihood"]).min() > 0
    assert after.table["stable"][1:].all()
    assert after.runs["round"].max() > 1


def test_a_number_alone_merges_and_splits_its_own_components(faithful):
    alone = jaxem.select(faithful, "VVV", [3], num_restarts=2)
    assert set(alone.runs["origin"]) == {"start", "split-merge"}
    assert alone.table["stable"].all()


def test_more_components_than_rows_leave_the_others_alone():
    x = np.repeat(np.random.default_rng(0).normal(size=(4, 2)), 10, axis=0)
    selection = jaxem.select(x, "EII", range(1, 7), num_restarts=3)
    status = selection.table.set_index("num_components")["status"]
    assert (status[[5, 6]] == "too few distinct rows").all()
    assert not (status[[1, 2, 3]] == "too few distinct rows").any()
    assert selection.table["log_likelihood"].isna().tolist() == [False] * len(selection.fits) + [True] * (
        6 - len(selection.fits)
    )
    assert any("the data have only 4 distinct rows" in sentence for sentence in selection.warnings)
    with pytest.raises(KeyError, match="it has no fit: too few distinct rows"):
        selection["EII", 5]


def test_spikes_are_never_chosen():
    """Among 82 galaxies, nine variances of their own find rows to shrink on, and AIC would have it so."""
    selection = jaxem.select(jaxem.datasets.load("galaxies"), "V", range(2, 10), criterion="aic", num_restarts=10)
    spikes = [fit for fit in selection.fits.values() if fit.spurious]
    assert spikes
    assert min(fit.aic for fit in spikes) < selection.best.aic
    assert not selection.best.spurious
    assert {fit.trust for fit in spikes} == {"low"}
    ends = selection.runs[selection.runs["finalist"] & (selection.runs["status"] == "converged")]
    sound = ends.groupby("num_components")["spurious"].min()  # where any end is sound, a sound one stands for the cell
    assert all(selection["V", k].spurious == spurious for k, spurious in sound.items())
    assert any("would have won, but rest on next to singular components" in sentence for sentence in selection.warnings)


@pytest.mark.parametrize("num_features", [1, 2])
@pytest.mark.parametrize("gap", [30, 250, 3000])
def test_clusters_are_no_spikes_for_being_far_apart(gap, num_features):
    """Two clean groups of a hundred rows, `gap` standard deviations between them."""
    x = np.random.default_rng(0).normal(size=(200, num_features))
    x[:100, 0] += gap
    selection = jaxem.select(x, "gaussian", range(1, 4), num_restarts=4)
    assert selection.best.num_components == 2
    assert sorted(selection.best.sizes) == [100, 100]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tight_clusters_are_found_one_after_the_other(rng, dtype):
    """One is as narrow as it will be while the others are still wide: 1e8 times its variance. That is no collapse."""
    x = np.repeat([0.0, 1.0, 5.0], 50) + 1e-4 * rng.normal(size=150)
    groups = x.reshape(3, 50)
    wanted = stats.norm(groups.mean(1), groups.std(1)).logpdf(groups.T).sum() - 150 * np.log(3)
    fit = jaxem.fit(x, "V", 3, num_restarts=4, dtype=dtype)
    assert fit.log_likelihood == pytest.approx(wanted, abs=1e-5 if dtype == "float64" else 0.1)


def test_what_the_accurate_form_adds_is_part_of_the_run(rng):
    """The fast form is not safe here: digits are lost between means so far apart."""
    x = np.repeat([0.0, 1.0, 5.0], 50)[:, None] + 1e-5 * rng.normal(size=(150, 2))
    fit = jaxem.fit(x, "EEE", 3, num_restarts=4)
    assert len(fit.history) == fit.num_steps
    assert fit.history[-1] == pytest.approx(fit.log_likelihood, abs=1e-4)


def test_a_run_that_fails_in_the_accurate_form_gives_way_to_the_next_best():
    cell = Cell(None, 2)
    first, second = (
        Run(cell, "start", "", j, 0, objective=-j, admissible=True, finalist=True, status=Status.CONVERGED) for j in (0, 1)
    )
    cell.take_in([first, second])
    assert cell.best is first
    cell.put(failed := dataclasses.replace(first, status=Status.COLLAPSED), first)
    assert cell.best is second
    assert cell.runs == [failed, second]
    cell.put(failed := dataclasses.replace(second, status=Status.COLLAPSED), second)
    assert cell.best is failed


def test_where_nothing_can_be_chosen_it_says_so():
    """Two rows and their copies: with two components every fit is a pair of spikes."""
    x = np.repeat([[0.0, 0.0], [1.0, 2.0]], 20, axis=0)
    selection = jaxem.select(x, "VVI", 2, num_restarts=3)
    with pytest.raises(RuntimeError, match="no fit can be chosen"):
        _ = selection.best
    assert selection.warnings[-1].startswith("No fit can be chosen: every run of every cell failed")
    assert isinstance(repr(selection), str)


def test_where_every_run_fails_at_once_it_says_so():
    """No run is alive to be run to convergence: it was not cut off, and what the data lack is named."""
    told = jaxem.select(np.repeat([0.0, 1.0], 20), "V", [2, 3], num_restarts=3).warnings
    assert told[1].startswith("1 of 1 cells with K of 2 or more have no sound fit")
    assert told[2].startswith("Column with few distinct values: 'x1' (2).")
    assert told[-1].startswith("No fit can be chosen: every run of every cell failed")
    told = jaxem.select(np.repeat([0.0, 1.0], 20), "V", 3).warnings
    assert told[-1].startswith("No fit can be chosen: every run of every cell failed")


def test_a_model_of_many_names_counts_once(rng):
    """With one component fourteen structures are three models."""
    x = rng.normal(size=(100, 3)) @ [[1, 0.5, 0.2], [0, 1, 0.3], [0, 0, 1]]
    selection = jaxem.select(x, "gaussian", range(1, 3), num_restarts=2, moves=False)
    ones = [fit for fit in selection.ranking() if fit.num_components == 1]
    assert sorted(fit.num_params for fit in ones) == [4, 6, 9]
    table = selection.table.query("not spurious").dropna(subset="bic")
    models = table[~table.round({"bic": 6}).duplicated(["num_components", "bic"])]
    belief = np.exp((models["bic"].min() - models["bic"]) / 2)
    wanted = belief[models["num_components"] == 1].sum() / belief.sum()
    assert table.query("num_components == 1")["schwarz_weight"].sum() == pytest.approx(wanted)


def test_columns_of_few_values_are_named(rng):
    """Two clusters lost to a column that is constant in each."""
    group = np.repeat([0, 1], 50)
    table = pd.DataFrame(rng.normal(size=(100, 2)) + 6 * group[:, None], columns=["a", "b"]).assign(sex=group)
    told = jaxem.select(table, ["VVV", "VVI"], [1, 2, 3], num_restarts=2, moves=False).warnings
    assert any(sentence.startswith("4 of 4 cells with K of 2 or more have no sound fit") for sentence in told)
    assert any(sentence.startswith("Column with few distinct values: 'sex' (2).") for sentence in told)
    with pytest.raises(RuntimeError, match=r"column with few distinct values: 'sex' \(2\)"):
        jaxem.fit(table, "VVV", 2, num_restarts=2, moves=False)


def test_the_largest_number_tried_is_worth_a_warning(faithful):
    selection = jaxem.select(faithful, "EEE", range(1, 4), num_restarts=3)
    assert "The largest number of components tried, 3, was chosen: try more." in selection.warnings


def test_trust_has_its_reasons(selection):
    assert set(selection.table["trust"]) <= {"high", "fair", "low"}
    assert (selection.table["trust"][selection.table["num_components"] == 1] == "high").all()
    first, second, *rest = selection.trust_report
    assert first.startswith(f"{selection.best.trust.capitalize()}: ")
    assert "(of such results about" in first
    other = dataclasses.replace(selection.best, terms={"equal_weights": True})  # for which no rate has been measured
    assert "(of such results of plain Gaussian mixtures about" in trust.sentence(other)
    assert f"{selection.best.num_finalists} starts that were followed reached the best log-likelihood" in first
    ranking = selection.ranking()
    assert f"{ranking[1].bic - ranking[0].bic:.1f} BIC behind" in second
    assert any("runs" in sentence for sentence in rest)


@pytest.mark.parametrize(("sizes", "beside"), [([2, 3], True), ([3], False), ([1, 3], False)])
def test_a_fit_without_neighbours_must_be_reached_more_often(x, sizes, beside):
    """Splits and merges of its own components find less than those of its neighbours (`experiments/trust/alone.py`)."""
    options = dataclasses.replace(Options.once(), num_restarts=4, num_finalists=2, moves=True)
    with precision(np.float64):
        whole = Problem(tabular.read(x), families.resolve("EEE", 2), sizes, options)
        whole.search()
    assert {cell.beside for cell in whole.cells} == {beside}
    levels = [trust.level(False, replicated, True, beside) for replicated in range(7)]
    assert levels == (["low"] + ["fair"] * 2 + ["high"] * 4 if beside else ["low"] * 3 + ["fair"] * 2 + ["high"] * 2)


@pytest.mark.parametrize("family", ["VVV", "EEE"])
def test_what_every_start_finds_is_trusted(family):
    """Three clusters far apart: all good starts are at the optimum after the first stage, and all but one are left there."""
    apart = jaxem.datasets.gaussian_mixture(300, 3, 2, separation=8.0, seed=1).x
    for fit in (jaxem.fit(apart, family, 3), jaxem.select(apart, family, [2, 3])[family, 3]):
        assert fit.trust == "high"
        assert 5 <= fit.replicated <= fit.num_finalists <= fit.num_restarts


def test_json_holds_what_the_selection_holds(selection, tmp_path):
    path = tmp_path / "selection.json"
    text = selection.to_json(path)
    assert path.read_text(encoding="utf-8").strip() == text.strip()
    assert [file.name for file in tmp_path.iterdir()] == ["selection.json"]
    told = json.loads(text)
    assert told["best"]["family"] == "EEE"
    assert told["best"]["bic"] == selection.best.bic
    assert len(told["table"]) == len(selection.table)
    assert [row["log_likelihood"] for row in told["table"]] == selection.table["log_likelihood"].tolist()
    assert told["version"] == jaxem.__version__
    assert {"table", "warnings", "data", "seed", "criterion", "trust_report"} <= set(told)


def test_json_has_no_nan():
    x = np.repeat(np.random.default_rng(0).normal(size=(3, 2)), 9, axis=0)
    text = jaxem.select(x, "EII", [2, 4], num_restarts=2).to_json()
    assert "NaN" not in text
    assert json.loads(text)["table"][1]["bic"] is None


def test_an_infinite_criterion_chooses_nothing(rng):
    """AICc where a model has as many parameters as there are rows, all but one."""
    selection = jaxem.select(rng.normal(size=(7, 2)), "EII", [1, 2], criterion="aicc", num_restarts=2)
    assert selection["EII", 2].aicc == np.inf
    assert [fit.num_components for fit in selection.ranking()] == [1]
    assert json.loads(selection.to_json())["table"][1]["aicc"] is None


def test_a_selection_never_holds_the_data(selection, faithful):
    for name, value in vars(selection).items():
        assert np.size(value) < len(faithful) or isinstance(value, pd.DataFrame), name
    assert len(faithful) not in (len(selection.table), len(selection.runs))


def test_the_same_seed_gives_the_same_table(faithful):
    one, other = (jaxem.select(faithful, "VVV", range(1, 4), seed=5, num_restarts=5) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.runs, other.runs)


def test_families_of_several_kinds_share_a_table(earthquakes):
    selection = jaxem.select(earthquakes, ["poisson", "V"], [1, 2], num_restarts=3)
    assert selection.table["family"].tolist() == ["poisson", "poisson", "V", "V"]
    assert selection["poisson", 1].params.rates[0, 0] == pytest.approx(earthquakes["count"].mean())


def test_families_of_several_kinds_see_the_same_columns(earthquakes):
    """Criteria compare fits to the same data."""
    table = earthquakes.assign(same=3)
    selection = jaxem.select(table, ["poisson", "V"], [1, 60], num_restarts=2)
    assert selection.warnings[:2] == (
        "Column 'same' is constant and was left out.",
        "K = 60 and more were left out: the data have only 31 distinct rows.",
    )
    assert {fit.columns for fit in selection.fits.values()} == {("count",)} == {selection.columns}
    alone = jaxem.select(earthquakes, "poisson", 1)
    assert selection["poisson", 1].bic == pytest.approx(alone.best.bic)
    assert selection.table["num_params"].tolist() == [1, 119, 2, 179]


def test_what_one_family_cannot_take_is_said_before_any_is_searched(x):
    calls = []
    with pytest.raises(ValueError, match="a Poisson mixture needs counts"):
        jaxem.select(x, ["EEE", "poisson"], 2, progress=lambda *told: calls.append(told))
    assert not calls


def test_no_runs_have_columns_too(selection):
    none = dataclasses.replace(selection, lanes=())
    assert none.runs.empty
    assert none.runs.columns.tolist() == selection.runs.columns.tolist()


class TestInterrupted:
    """Ctrl-C loses nothing that was found."""

    @pytest.mark.parametrize(
        ("phase", "status"),
        [("starts", None), ("moves, round 1", "running"), ("all rows", "running"), ("all rows: to convergence", "running")],
    )
    def test_a_search_on_a_subsample(self, x, monkeypatch, phase, status):
        def interrupted(now, *_):
            if now == phase:
                raise KeyboardInterrupt

        monkeypatch.setattr(problem, "SUBSAMPLE", 60)
        with pytest.raises(Interrupted) as stopped:
            jaxem.select(x, "EEE", [2, 3], num_restarts=3, progress=interrupted)
        found = stopped.value.selection
        json.loads(found.to_json())
        assert not (found.table["status"] == "too few distinct rows").any()
        if status is None:
            assert found.warnings == ("No fit can be chosen: nothing was finished yet.",)
            return
        assert (found.table["status"] == status).all()
        assert (found.table["trust"] == "low").all()
        cut = found["EEE", 2]
        assert (cut.stable is None) == (phase == "moves, round 1")
        near = jaxem.fit(x, "EEE", 2, start=cut.params)
        assert near.log_likelihood - 10 < cut.log_likelihood < near.log_likelihood
        assert cut.warnings == ("EEE with K = 2: stopped before it was finished.",)

    def test_while_all_is_summed_up(self, x, monkeypatch):
        certify, calls = Problem.certify, []

        def interrupted(self):
            calls.append(self)
            if len(calls) == 1:
                raise KeyboardInterrupt
            certify(self)

        monkeypatch.setattr(Problem, "certify", interrupted)
        with pytest.raises(Interrupted) as stopped:
            jaxem.select(x, "EEE", [2, 3], num_restarts=3)
        assert stopped.value.selection.table["status"].tolist() == ["converged"] * 2

    def test_while_the_choice_is_made_again(self, x, monkeypatch):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(jaxem.selection.Selection, "stability", interrupted)
        with pytest.raises(Interrupted) as stopped:
            jaxem.select(x, "EEE", [2, 3], num_restarts=3, num_resamples=5)
        assert stopped.value.selection.best.num_components == 3


def test_a_choice_that_cannot_be_made_again_is_kept(rng):
    """Six rows are enough for a full covariance of four columns, and parts of them are not."""
    selection = jaxem.select(rng.normal(size=(6, 4)), "VVV", 1, num_resamples=3)
    assert selection.best.num_components == 1
    assert selection.warnings[-1].startswith("The choice could not be made again on parts of the rows: no cell could be fitted")
    assert "stability" not in selection.doubts


def standard_errors(x, weight, means, sd):
    """Of (weight of the first, means, common sd): roots of the diagonal of the inverse of Σ s sᵀ, s the score of one row."""
    point = np.array([weight, *means, sd])

    def log_density(p):
        parts = stats.norm(p[1:3, None], p[3]).pdf(x)
        return np.log(p[0] * parts[0] + (1 - p[0]) * parts[1])

    steps = 1e-5 * np.eye(4)
    scores = np.stack([(log_density(point + step) - log_density(point - step)) / 2e-5 for step in steps])
    return np.sqrt(np.diag(np.linalg.inv(scores @ scores.T)))


@pytest.mark.slow
def test_two_gaussians_are_two():
    """Means, sd and weights lie within three standard errors of the truth: 3,000 of N(20, 5²), 7,000 of N(40, 5²).

    For time, few starts, no moves, and no more steps than K = 2 needs: components too many creep for thousands.
    """
    x = jaxem.datasets.two_gaussians().x
    selection = jaxem.select(x, num_components=range(1, 10), num_restarts=4, num_finalists=2, moves=False, max_steps=100)
    best = selection.best
    assert (best.family, best.num_components, best.converged) == ("E", 2, True)
    assert best.log_prob(x).sum() == pytest.approx(best.log_likelihood, rel=1e-10)  # of all rows, though few may have led there
    assert best.sizes.sum() == len(x)
    got = [best.params.weights[0], *best.params.means[:, 0], np.sqrt(best.params.covariances[0, 0, 0])]
    errors = standard_errors(x, 0.7, [40.0, 20.0], 5.0)
    assert (np.abs(np.array(got) - [0.7, 40.0, 20.0, 5.0]) < 3 * errors).all()
    assert (errors < [0.01, 0.2, 0.3, 0.2]).all()
