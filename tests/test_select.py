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
from jaxem import families, tabular, trust
from jaxem._precision import precision
from jaxem.options import Options
from jaxem.problem import Problem


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
    monkeypatch.setattr(Problem, "_subsample", lambda _: np.arange(0, 272, 4))
    x, weight = x.copy(), np.arange(1.0, 273.0)
    x[::8, 0] = np.nan
    with precision(np.float64):
        problem = Problem(tabular.read(x, weight, missing=True), families.resolve("EEE", 2), [3], Options.once())
    lacking = ~np.isnan(x) @ -np.log(np.diag(problem.units.scale))
    assert problem.sample_offset == pytest.approx(weight[::4] @ lacking[::4])
    assert problem.offset == pytest.approx(weight @ lacking)


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


def test_where_nothing_can_be_chosen_it_says_so():
    """Two rows and their copies: with two components every fit is a pair of spikes."""
    x = np.repeat([[0.0, 0.0], [1.0, 2.0]], 20, axis=0)
    selection = jaxem.select(x, "VVI", 2, num_restarts=3)
    with pytest.raises(RuntimeError, match="no fit can be chosen"):
        _ = selection.best
    assert any(sentence.startswith("No fit can be chosen") for sentence in selection.warnings)
    assert isinstance(repr(selection), str)


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
    assert "(of such results of Gaussian mixtures by maximum likelihood about" in trust.sentence(other)
    assert f"{selection.best.num_finalists} finalists reached the best log-likelihood" in first
    ranking = selection.ranking()
    assert f"{ranking[1].bic - ranking[0].bic:.1f} BIC behind" in second
    assert any("runs" in sentence for sentence in rest)


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
