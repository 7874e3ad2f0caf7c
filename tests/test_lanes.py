"""Lanes: one program for all, and no lane feels what runs beside it."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers import compiling, identical, new_programs

import jaxem
from jaxem import families, init, lanes, problem, search, tabular
from jaxem._precision import precision
from jaxem._status import Status
from jaxem.cell import Cell, Run
from jaxem.families import gaussian
from jaxem.lanes import Engine
from jaxem.models.mixture import Mixture
from jaxem.options import Options
from jaxem.padding import pad_data, take
from jaxem.search import Batch


NUM_ROWS = 150
CODES = ["VVV", "EEE", "VVI", "VII"]


@pytest.fixture(scope="module")
def rows():
    return jaxem.datasets.gaussian_mixture(NUM_ROWS, 3, 2, separation=3.0, seed=4).x


@pytest.fixture
def begin(rows):
    """An engine, and lanes that start from the portfolio: two of every structure, K = 2 and 3."""
    weight = np.ones(NUM_ROWS)
    draws = init.Starts(rows.T, weight, (0,))

    def begin(width=3, block=None, spoil=()):
        with precision(np.float64):
            engine = Engine(pad_data(rows.T, weight, np.float64), NUM_ROWS, width, tol=1e-6, least=2, block=block)
            models, makes = [], []
            for code in CODES:
                family = gaussian(code).bind(rows.T, weight, np.eye(2), np.float64)
                models += [Mixture(family)] * 2
                makes += [draws.draw("portfolio", k, 4)[1] for k in (2, 3)]
            for lane in spoil:
                makes[lane] = lambda: np.full((2, NUM_ROWS), np.nan)
            return engine, models, engine.begin(models, makes)

    return begin


def run(engine, models, states, max_steps):
    with precision(np.float64):
        return engine.run(models, states, max_steps=max_steps)


def test_one_program_serves_every_k_structure_tolerance_and_seed(rng):
    """The block program is compiled once for the first selection, and nothing at all for those after it."""
    x = rng.normal(size=(419, 2))
    with new_programs() as first:
        jaxem.select(x, "VVV", range(1, 5), num_restarts=3)
    assert first["advance_small"] == 1
    assert any(first.values())
    with new_programs() as later:
        jaxem.select(x, ["EEE", "VII"], [2, 4], num_restarts=5, tol=1e-6, max_steps=300, seed=9, init="random-rows")
        jaxem.fit(x[:-2], "full", 4, num_restarts=2, weights=rng.uniform(size=417), moves=False)
    assert not any(later.values()), later


def test_what_is_compiled_ahead_is_what_is_called(rng, caplog):
    """In other threads, and never again by the calls themselves."""
    x = rng.normal(size=(487, 2))
    with compiling(caplog) as here:
        jaxem.select(x, "VVV", range(1, 4), num_restarts=2)
        jax.jit(lambda z: z + 487)(x)
    assert any("lambda" in said for said in here), here
    names = "begin", "advance", "summarise", "posterior", "_log_prob"
    assert not [said for said in here if any(name in said for name in names)]


def test_a_nan_lane_leaves_its_neighbours_bit_identical(begin):
    engine, models, states = begin()
    good = run(engine, models, states, 2000)
    with_bad = run(*begin(spoil=[3])[:2], begin(spoil=[3])[2], 2000)
    assert Status(with_bad.status[3]).failed
    for lane in (0, 1, 2, 4, 5, 6, 7):
        identical(take(with_bad, lane), take(good, lane))


def same_runs(got, wanted, width=3):
    """Lanes agree to rounding after equally many steps."""
    np.testing.assert_array_equal(got.num_steps, wanted.num_steps)
    np.testing.assert_allclose(got.log_likelihood, wanted.log_likelihood, rtol=1e-9)
    for name in ("mean", "whitener"):
        ours, theirs = (getattr(states.params.components, name) for states in (got, wanted))
        live = wanted.params.log_weights > -np.inf
        np.testing.assert_allclose(ours[:, :width][live], theirs[live], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{"width": 5}, {"block": 3}, {"block": 1}], ids=str)
def test_padding_and_packing_change_nothing(begin, options):
    same_runs(run(*begin(**options), 15), run(*begin(), 15))


def test_chunks_change_nothing(begin, monkeypatch):
    wanted = run(*begin(), 15)
    monkeypatch.setattr(lanes, "CACHE_BYTES", 1)
    engine, *rest = begin()
    assert engine.chunk < NUM_ROWS / 2
    same_runs(run(engine, *rest, 15), wanted)


def test_an_e_step_for_few_components_changes_nothing(begin, monkeypatch):
    wanted = run(*begin(), 15)
    monkeypatch.setattr(lanes, "LARGE", 1)
    engine, *rest = begin(width=6)
    assert engine.sizes == (3, 6)
    same_runs(run(engine, *rest, 15), wanted)


@pytest.mark.slow
def test_large_data_end_where_em_stands_still(begin, monkeypatch):
    """What is large gets narrower programs, and L-BFGS for the last stretch: it too ends in optima, with nothing left to gain."""
    monkeypatch.setattr(lanes, "LARGE", 1)
    monkeypatch.setattr(lanes, "PATIENCE", 20)
    engine, models, states = begin()
    with precision(np.float64):
        ends = engine.finish(models, states, max_steps=2000)
        assert (ends.status == Status.CONVERGED).all()
        assert (ends.num_steps > 20).any()
        further = engine.run(models, engine.begin_at(models, [take(ends.params, lane) for lane in range(8)]), max_steps=300)
    np.testing.assert_allclose(further.log_likelihood, ends.log_likelihood, rtol=0, atol=1e-5)


def restarts(selection, family, k, restart):
    """The row of one restart."""
    table = selection.runs
    chosen = (table["family"] == family) & (table["num_components"] == k) & (table["restart"] == restart)
    return table[chosen & (table["origin"] == "start")].iloc[0]


def test_a_run_does_not_depend_on_what_is_run_beside_it(faithful):
    """Restart 7 of K = 3: alone, among other K, other structures, more restarts."""
    alone = jaxem.select(faithful, "VVV", 3, num_restarts=8, num_finalists=8, moves=False)
    wide = jaxem.select(faithful, ["EEE", "VVV"], range(1, 6), num_restarts=12, num_finalists=12, moves=False)
    compared = 0
    for restart in range(8):
        one, other = restarts(alone, "VVV", 3, restart), restarts(wide, "VVV", 3, restart)
        assert one["start"] == other["start"]
        if one["finalist"] == other["finalist"]:
            assert one["log_likelihood"] == pytest.approx(other["log_likelihood"], rel=1e-9)
            compared += 1
    assert compared >= 6
    seventh = [restarts(selection, "VVV", 3, 7) for selection in (alone, wide)]
    assert seventh[0]["finalist"] == seventh[1]["finalist"]


def test_em_never_counts_as_falling():
    """Rounding at the end of a run is no fall, however tight the tolerance."""
    x = jaxem.datasets.load("galaxies")
    selection = jaxem.select(x, "gaussian", range(1, 8), tol=1e-9)
    assert "decreased" not in set(selection.runs["status"])


def test_more_search_never_finds_less(faithful):
    """Moves and further restarts go on from what fewer have found."""
    few = jaxem.select(faithful, ["EEE", "VVV"], range(1, 6), num_restarts=4, moves=False, init="random-rows")
    moved = jaxem.select(faithful, ["EEE", "VVV"], range(1, 6), num_restarts=4, init="random-rows")
    more = jaxem.select(
        faithful, ["EEE", "VVV"], range(1, 6), num_restarts=16, num_finalists=16, moves=False, init="random-rows"
    )
    least = few.table["log_likelihood"] - 2e-3
    assert (moved.table["log_likelihood"] > least).all()
    assert (more.table["log_likelihood"] > least).all()
    assert (moved.table["log_likelihood"] > least + 0.1).any()


def test_starts_go_to_all_rows_beside_what_moves_have_found():
    """On the subsample moves may lead by tens of nats, and lose them on all rows."""
    cell = Cell(Mixture(None), 3)

    def run(origin, objective, gain=0.0):
        path = [objective - gain, objective - gain / 2, objective]
        return Run(cell, origin, "", 0, origin != "start", 0.0, objective, 3, Status.CONVERGED, True, True, None, path)

    starts = [run("start", value) for value in (-10.0, -10.001, -12.0, -13.0)]
    moved = [run("split", -8.0), run("merge", -9.0), run("merge", -12.001), run("split", -9.5)]
    cell.runs = starts + moved
    assert cell.scouts(2, 2) == [starts[0], starts[2], *moved[:2]]
    last, hopeful, third = run("start", -12.0, gain=0.4), run("start", -12.0, gain=0.6), run("start", -12.1, gain=9.0)
    assert search._rivals([last, starts[0], *moved[:2]]) == [moved[0], starts[0]]
    assert search._rivals([hopeful, starts[0], *moved[:2], third]) == [moved[0], starts[0], hopeful]
    assert search._rivals([starts[0], last, run("merge", -10.5)]) == [starts[0]]
    assert search._rivals(moved) == moved[:1]


def test_where_the_leaders_of_a_subsample_become_spikes_the_next_ones_follow(faithful, monkeypatch):
    finish, ended = Batch.finish, []

    def spoiled(self, runs, *args):
        finish(self, runs, *args)
        if runs[0].origin == "all rows":
            ended.append(runs)
            for run in ended[0]:
                run.admissible = False

    monkeypatch.setattr(problem, "SUBSAMPLE", 60)
    monkeypatch.setattr(Batch, "finish", spoiled)
    selection = jaxem.select(faithful, "VVV", 5, num_restarts=8, moves=False)
    assert not selection.best.spurious
    runs = selection.runs.query("rows == 'all' and finalist")
    (later,) = ended[1:]
    best = runs[runs["restart"].isin([run.restart for run in later])]["log_likelihood"].max()
    assert selection.best.log_likelihood == pytest.approx(best)
    assert len(runs) == len(ended[0]) + len(later)


def test_runs_on_a_subsample_have_the_log_likelihood_of_its_rows(faithful, monkeypatch):
    found, samples = problem.Problem._subsample, []
    monkeypatch.setattr(problem, "SUBSAMPLE", 60)
    monkeypatch.setattr(problem.Problem, "_subsample", lambda self: samples.append(found(self)) or samples[-1])
    selection = jaxem.select(faithful, "VVV", 5, num_restarts=8, moves=False)
    best = selection.best
    runs = selection.runs.query("finalist and not spurious").groupby("rows")["log_likelihood"].max()
    assert runs["all"] == pytest.approx(best.log_likelihood)
    assert 0 < runs["subsample"] - best.log_prob(faithful.iloc[samples[0][0]]).sum() < 2 * best.num_params


def test_a_subsample_is_drawn_by_weight(rng):
    """A row is there as often as its share of the weight asks, rounded up or down: what the rows say with weights, it says."""
    x, weight = rng.normal(size=(20_000, 1)), np.where(np.arange(20_000) % 10, 1.0, 20.0)
    weight[7] = 5000.0
    with precision(np.float64):
        table = tabular.read(x + (weight == 20)[:, None], weight)
        own = problem.Problem(table, families.resolve("V", 1), [2], Options.once())
    wanted = weight[own.sample] * problem.SUBSAMPLE / weight.sum()
    assert own.light.sum() == problem.SUBSAMPLE
    assert (np.abs(own.light - wanted) < 1).all()
    assert own.light[own.sample == 7] > 100
    for values in (table.x[:, 0], weight == 20):
        assert np.average(values[own.sample], weights=own.light) == pytest.approx(np.average(values, weights=weight), abs=0.08)


def test_how_often_the_host_looks_changes_nothing(faithful, monkeypatch):
    """Where a step takes very long, after each one."""
    how = {"num_restarts": 4, "moves": False}
    plain = jaxem.fit(faithful, "VVV", 3, **how)
    monkeypatch.setattr(lanes, "ENDLESS", 0)
    run, ticks = lanes.Engine.run, []
    monkeypatch.setattr(lanes.Engine, "run", lambda self, *args, **kw: ticks.append(int(self.ticks)) or run(self, *args, **kw))
    often = jaxem.fit(faithful, "VVV", 3, **how)
    assert set(ticks) == {1}
    np.testing.assert_array_equal(often.history, plain.history)
    assert often.num_steps == plain.num_steps
