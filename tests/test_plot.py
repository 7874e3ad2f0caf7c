"""Pictures: what they show, and that they touch nothing else."""

from __future__ import annotations

import dataclasses
import math
import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, StepPatch
from matplotlib.path import Path
from scipy.spatial import ConvexHull

import jaxem
from jaxem import plot
from jaxem.noise import Region
from jaxem.selection import merge


@pytest.fixture(scope="module")
def counts(earthquakes):
    return jaxem.fit(earthquakes, "poisson", 2, num_restarts=2, moves=False)


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(0)
    data = np.r_[rng.normal(0, 0.3, (60, 2)), rng.normal(5, 0.3, (55, 2)), rng.uniform(-10, 10, (60, 2))]
    return jaxem.fit(data, "VVV", 2, noise=True, num_restarts=2, moves=False), data


def twice(counts):
    """A fit of one column of counts as one of that column twice."""
    params = jaxem.Params(weights=counts.params.weights, rates=np.hstack([counts.params.rates, counts.params.rates]))
    return dataclasses.replace(counts, params=params, columns=("a", "b"), input_columns=("a", "b"))


def within(path, points):
    """Whether points lie inside a path of closed curves, which may have holes: inside an odd number of them."""
    return np.bitwise_xor.reduce([Path(curve).contains_points(points) for curve in path.to_polygons()])


def of_clusters(fit):
    """Points from the clusters of a Gaussian fit, without noise."""
    rng, params = np.random.default_rng(1), fit.params
    counts = rng.multinomial(20_000, params.weights / params.weights.sum())
    return np.concatenate([rng.multivariate_normal(*one) for one in zip(params.means, params.covariances, counts, strict=True)])


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_notebook_shows_them(selection):
    """IPython asks for a PNG; pyplot, which would see to that, is not involved."""
    ax = selection.plot()
    for shown in (ax, ax.figure):
        assert shown._repr_png_().startswith(b"\x89PNG")


class TestAxes:
    def test_without_axes_a_figure_outside_pyplot_is_made(self, selection):
        ax = plot.criteria(selection)
        assert type(ax.figure.canvas).__name__ == "FigureCanvasAgg"
        assert not getattr(mpl, "pyplot", None) or not mpl.pyplot.get_fignums()

    def test_given_axes_are_drawn_on_and_returned(self, selection, faithful):
        three = Figure().subplots(1, 3)
        assert selection.plot(ax=three[0]) is three[0]
        assert plot.clusters(selection.best, faithful, three[1]) is three[1]
        assert plot.restarts(selection, "EEE", 3, three[2]) is three[2]

    def test_a_picture_is_the_same_each_time(self, counts, earthquakes, tmp_path):
        for name in ("a.png", "b.png"):
            plot.clusters(counts, earthquakes).figure.savefig(tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


class TestCriteria:
    def test_the_choice_is_in_sight_and_named(self, selection):
        ax = plot.criteria(selection)
        low, high = ax.get_ylim()
        assert low < selection.best.bic < high
        assert [text.get_text() for text in ax.texts] == ["EEE, K = 3"]
        assert labels(ax) == ["EEE", "VVV"]

    def test_a_family_far_off_does_not_set_the_scale(self, selection):
        far = selection.table["family"] == "VVV"
        table = selection.table.assign(bic=selection.table["bic"] + 1e5 * far)
        ax = plot.criteria(dataclasses.replace(selection, cells=tuple(table.to_dict("records"))))
        assert ax.get_ylim()[1] < 1e4
        assert labels(ax) == ["EEE", "VVV (off the scale)"]

    def test_fits_next_to_singular_are_hollow(self, selection):
        table = selection.table.assign(spurious=selection.table["num_components"] == 4)
        ax = plot.criteria(dataclasses.replace(selection, cells=tuple(table.to_dict("records"))))
        hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
        assert [line.get_xdata().tolist() for line in hollow] == [[4], [4]]
        assert labels(ax)[-1] == "next to singular"

    def test_cells_without_a_fit_and_one_cell_alone(self, selection):
        table = selection.table.copy()
        table.loc[table["num_components"] != 3, ["bic", "log_likelihood"]] = np.nan
        ax = plot.criteria(dataclasses.replace(selection, cells=tuple(table[table["family"] == "EEE"].to_dict("records"))))
        assert np.isfinite(ax.get_ylim()).all()


class TestClusters:
    def test_ellipses_hold_the_probability_they_claim(self, fitted, faithful):
        ax = plot.clusters(fitted, faithful)
        ellipses = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
        assert len(ellipses) == 2 * fitted.num_components
        for number, ellipse in enumerate(ellipses):
            k, region = number // 2, (0.5, 0.95)[number % 2]
            t = np.linspace(0, 2 * math.pi, 7)
            axes = np.stack([ellipse.width / 2 * np.cos(t), ellipse.height / 2 * np.sin(t)])
            turn = math.radians(ellipse.angle)
            edge = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ axes
            np.testing.assert_allclose(ellipse.center, fitted.params.means[k])
            # With two columns the squared distance has distribution 1 - exp(-q / 2).
            squared = (edge * np.linalg.solve(fitted.params.covariances[k], edge)).sum(0)
            np.testing.assert_allclose(1 - np.exp(-squared / 2), region)

    def test_every_row_is_drawn_in_its_cluster(self, fitted, faithful):
        ax = plot.clusters(fitted, faithful)
        assert [len(points.get_offsets()) for points in ax.collections] == np.bincount(fitted.predict(faithful)).tolist()
        assert labels(ax) == ["1 (48 %)", "2 (36 %)", "3 (17 %)"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")

    def test_the_most_telling_columns_are_chosen(self, fitted, faithful):
        wide = faithful.assign(noise=np.resize([0.0, 1.0], len(faithful)))[["noise", "eruptions", "waiting"]]
        start = fitted.predict_proba(faithful)
        fit = jaxem.fit(wide, "EEE", 3, start=start, max_steps=3)
        ax = plot.clusters(fit, wide)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")
        ax = plot.clusters(fit, wide, columns=("waiting", "noise"))
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("waiting", "noise")
        with pytest.raises(ValueError, match="no column 'wait'"):
            plot.clusters(fit, wide, columns=("wait", "noise"))
        with pytest.raises(ValueError, match="two of"):
            plot.clusters(fit, wide, columns=("noise",))

    def test_large_data_are_thinned(self, fitted, faithful, monkeypatch):
        monkeypatch.setattr(plot._style, "MOST_POINTS", 100)
        ax = plot.clusters(fitted, faithful)
        assert sum(len(points.get_offsets()) for points in ax.collections) == 100

    def test_one_column_of_counts_is_steps_that_add_up_to_the_mixture(self, counts, earthquakes):
        ax = plot.clusters(counts, earthquakes)
        assert not ax.lines
        total, *parts = (patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch))
        grid = (total.edges[1:] + total.edges[:-1]) / 2
        np.testing.assert_array_equal(grid, np.arange(earthquakes.min().item(), earthquakes.max().item() + 1))
        np.testing.assert_allclose(total.values, np.exp(counts.log_prob(grid)))
        np.testing.assert_allclose(sum(part.values for part in parts), total.values)
        assert labels(ax)[0] == "all"
        assert ax.get_ylabel() == "probability"

    def test_one_column_with_noise_and_a_narrow_cluster_adds_up_to_one(self):
        rng = np.random.default_rng(0)
        data = np.r_[rng.normal(0, 0.001, 50), rng.normal(5, 0.5, 50), rng.uniform(-10, 10, 60)]
        fit = jaxem.fit(data, "V", 2, noise=True, num_restarts=5, moves=False)
        ax = plot.clusters(fit, data)
        total, noise, *parts = ax.lines
        shares = [np.trapezoid(line.get_ydata(), line.get_xdata()) for line in (total, noise, *parts)]
        np.testing.assert_allclose(shares, [1, fit.noise_weight, *fit.params.weights], rtol=0.01)
        assert np.ptp(noise.get_xdata()[noise.get_ydata() > 0]) <= np.ptp(data)

    def test_two_columns_of_counts_show_rates(self, counts, earthquakes):
        ax = plot.clusters(twice(counts), np.hstack([earthquakes, earthquakes]))
        assert [text.get_text() for text in ax.texts] == ["1", "2"]
        assert "standard deviation" in ax.get_legend().get_title().get_text()


class TestRestarts:
    def test_every_run_is_there_best_first(self, selection):
        ax = plot.restarts(selection, "EEE", 3)
        runs = selection.runs[(selection.runs["family"] == "EEE") & (selection.runs["num_components"] == 3)]
        points = np.concatenate([line.get_xydata() for line in ax.lines[1:]])
        points = points[np.argsort(points[:, 0])]
        assert len(points) == np.isfinite(runs["log_likelihood"]).sum()
        assert (np.diff(points[:, 1]) >= 0).all()
        best = selection["EEE", 3]
        assert f"{best.replicated} of {best.num_finalists} starts that were followed" in ax.get_legend().get_title().get_text()

    def test_runs_next_to_singular_are_hollow_and_explained(self, selection):
        assert "next to singular, never chosen" not in labels(plot.restarts(selection, "EEE", 3))
        first = next(lane for lane in selection.lanes if (lane["family"], lane["num_components"]) == ("EEE", 3))
        above = first | {"log_likelihood": selection["EEE", 3].log_likelihood + 5, "spurious": True}
        ax = plot.restarts(dataclasses.replace(selection, lanes=(*selection.lanes, above)), "EEE", 3)
        (hollow,) = (line for line in ax.lines if line.get_markerfacecolor() == "white")
        np.testing.assert_allclose(hollow.get_xydata(), [[1, -5]])
        assert labels(ax)[-1] == "next to singular, never chosen"

    def test_runs_on_a_subsample_are_below_the_best_of_it(self, selection):
        fit, few = selection["EEE", 3], []
        for lane in selection.lanes:
            there = lane["log_likelihood"] if lane["spurious"] else lane["log_likelihood"] + 800
            few.append(lane | {"rows": "subsample", "log_likelihood": there})
        most = [few[0] | {"rows": "all", "origin": "all rows", "family": "EEE", "num_components": 3, "finalist": True}]
        most = [most[0] | {"log_likelihood": fit.log_likelihood - gap} for gap in (2.0, 0.0)]
        ax, plain = (
            plot.restarts(dataclasses.replace(selection, lanes=lanes), "EEE", 3) for lanes in ((*few, *most), selection.lanes)
        )
        np.testing.assert_allclose(ax.lines[2].get_xydata(), [[1, 0], [2, 2]], atol=1e-9)
        for ours, theirs in zip(ax.lines[3:], plain.lines[1:], strict=True):
            np.testing.assert_allclose(ours.get_xdata(), theirs.get_xdata() + 2)
            np.testing.assert_allclose(ours.get_ydata(), theirs.get_ydata(), atol=0.01)
        assert labels(ax) == ["all rows", *labels(plain)]
        assert re.search(r": 2 on all rows, then \d+ on a subsample$", ax.get_xlabel())
        assert ax.get_ylabel() == "nats below the best on the same rows"

    def test_runs_that_end_alike_leave_a_scale(self, selection):
        """Gaps of a ten-thousandth of a nat alone gave ticks of six digits."""
        close = [lane for lane in selection.lanes if lane["log_likelihood"] > selection["EEE", 1].log_likelihood - 0.01]
        ax = plot.restarts(dataclasses.replace(selection, lanes=tuple(close)), "EEE", 1)
        most, least = ax.get_ylim()
        assert least < 0 < 0.1 < most

    def test_a_cell_that_was_not_asked_for(self, selection):
        with pytest.raises(KeyError, match="no fit for"):
            plot.restarts(selection, "EEE", 9)


class TestDensity:
    def test_regions_hold_what_they_say(self, fitted, faithful):
        ax = plot.density(fitted, faithful)
        held = [within(path, fitted.sample(20_000, seed=1)).mean() for path in ax.collections[2].get_paths()]
        np.testing.assert_allclose(held, [0.95, 0.75, 0.5, 0.25], atol=0.015)
        assert labels(ax) == ["95 %", "75 %", "50 %", "25 %"]

    def test_of_t_components(self, fitted):
        """Of two, twelve and as good as infinitely many degrees of freedom."""
        found = fitted.params
        params = jaxem.Params(weights=found.weights, means=found.means, scatters=found.covariances, dof=[2.0, 12.0, 1e6])
        fit = dataclasses.replace(fitted, family="tVVV", params=params)
        held = [within(path, fit.sample(20_000, seed=1)).mean() for path in plot.density(fit).collections[1].get_paths()]
        np.testing.assert_allclose(held, [0.95, 0.75, 0.5, 0.25], atol=0.015)

    def test_with_noise_they_hold_it_of_the_clusters(self, noisy):
        fit, data = noisy
        ax = plot.density(fit, data)
        held = [within(path, of_clusters(fit)).mean() for path in ax.collections[2].get_paths()]
        np.testing.assert_allclose(held, [0.95, 0.75, 0.5, 0.25], atol=0.015)
        assert labels(ax)[-1] == f"noise ({100 * fit.noise_weight:.0f} %)"
        assert "without noise" in ax.get_legend().get_title().get_text()

    def test_the_region_of_the_noise_is_in_sight(self, noisy):
        fit, _ = noisy
        ax = plot.density(fit)
        (dashed,) = ax.lines
        assert Path(dashed.get_xydata()).contains_points(fit.noise.sample(np.random.default_rng(0), 1000)).all()
        for (low, high), ends in zip((ax.get_xlim(), ax.get_ylim()), dashed.get_xydata().T, strict=True):
            assert low < ends.min() < ends.max() < high

    def test_a_tight_cluster_beside_a_wide_one(self, fitted):
        params = jaxem.Params(
            weights=[0.7, 0.3], means=[[0, 0], [-50, 5]], covariances=[1e-4 * np.eye(2), [[100.0, 30.0], [30.0, 20.0]]]
        )
        fit = dataclasses.replace(fitted, num_components=2, params=params)
        held = [within(path, of_clusters(fit)).mean() for path in plot.density(fit).collections[1].get_paths()]
        np.testing.assert_allclose(held, [0.95, 0.75, 0.5, 0.25], atol=0.015)

    @pytest.mark.parametrize("d", [2, 3, 5])
    def test_outline_is_the_shadow_of_the_region(self, d):
        rng = np.random.default_rng(d)
        region = Region(rng.normal(size=d), np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(1, 3, (d, 1)))
        corners = region.origin + np.indices([2] * d).reshape(d, -1).T @ region.edges
        hull = ConvexHull(corners[:, [1, 0]])
        found = plot._clusters.outline(region, [1, 0])
        np.testing.assert_allclose(found[0], found[-1])
        assert len(found) == 2 * d + 1
        np.testing.assert_allclose(np.sort(found[:-1], axis=0), np.sort(hull.points[hull.vertices], axis=0))

    def test_what_it_does_not_draw_clusters_does(self, counts):
        with pytest.raises(
            ValueError, match=r"this fit is poisson in 1: jaxem\.plot\.clusters draws the density of one column"
        ):
            plot.density(counts)
        with pytest.raises(
            ValueError, match=r"this fit is poisson in 2: jaxem\.plot\.clusters draws the rows and the components"
        ):
            plot.density(twice(counts))


class TestFits:
    def test_doubtful_rows_have_rims(self, fitted, faithful):
        ax = plot.uncertainty(fitted, faithful)
        doubtful = int((fitted.predict_proba(faithful).max(axis=1) < 0.9).sum())
        assert sum(len(marks.get_offsets()) for marks in ax.collections[1::2]) == doubtful
        assert f"black rims: {doubtful} of 272" in ax.get_legend().get_title().get_text()

    def test_doubtful_noise_is_black(self, noisy):
        fit, data = noisy
        ax = plot.uncertainty(fit, data)
        _, crosses, *marks = ax.collections
        doubtful = int((fit.predict_proba(data).max(axis=1) < 0.9).sum())
        assert len(crosses.get_offsets()) > 0
        assert len(crosses.get_offsets()) + sum(len(rims.get_offsets()) for rims in marks[1::2]) == doubtful
        assert f"black: {doubtful} of 175" in ax.get_legend().get_title().get_text()

    def test_heat_map_has_every_row_once(self, fitted, faithful):
        image = np.asarray(plot.responsibilities(fitted, faithful).images[0].get_array())
        assert image.shape == (3, 272)
        np.testing.assert_allclose(image.sum(axis=0), 1)
        assert (np.diff(image.argmax(axis=0)) >= 0).all()

    def test_traces_end_at_the_fit(self, selection):
        ax = plot.traces(selection)
        assert len(ax.lines) == 5
        assert all((np.diff(line.get_ydata()) <= 1e-9).all() for line in ax.lines)
        assert len(plot.traces(selection.best).lines) == len(plot.traces([selection.best]).lines) == 1

    def test_traces_with_a_prior_end_at_the_fit(self, fitted):
        """What `history` then holds is not the log-likelihood, but that plus the log-prior up to a constant."""
        for constant in (20.0, -20.0):
            ax = plot.traces(dataclasses.replace(fitted, history=fitted.history + constant))
            steps, gap = ax.lines[0].get_data()
            np.testing.assert_allclose(gap, fitted.history[-1] - fitted.history[steps - 1], rtol=1e-3)
            assert gap[-1] < 0.01
        assert not plot.traces(dataclasses.replace(fitted, history=np.empty(0))).lines[0].get_xdata().size

    def test_profile_is_in_units_of_the_data(self, fitted, faithful):
        errors = fitted.standard_errors(faithful)
        ax = plot.profile(fitted, errors)
        for k in range(3):
            expected = (fitted.params.means[k] - faithful.mean()) / faithful.std(ddof=0)
            np.testing.assert_allclose(ax.containers[k][0].get_ydata(), expected, atol=1e-3)
        assert "95 % intervals" in ax.get_legend().get_title().get_text()
        assert "spread within" in plot.profile(fitted).get_legend().get_title().get_text()

    def test_noise_moves_no_centre(self, noisy):
        """Where clusters lie does not matter for how far apart they are, nor for their profile."""
        fit, _ = noisy
        params = fit.params
        away = dataclasses.replace(fit, params=jaxem.Params(**params.asdict() | {"means": params.means + 100}))
        np.testing.assert_allclose(plot.separation(away), plot.separation(fit))
        heights = [bars[0].get_ydata() for some in (fit, away) for bars in plot.profile(some).containers]
        np.testing.assert_allclose(heights[:2], heights[2:])
        weights = params.weights / params.weights.sum()
        np.testing.assert_allclose(weights @ heights[:2], 0, atol=1e-9)

    def test_pairs_are_all_there(self, fitted, faithful):
        grid = plot.pairs(fitted, faithful)
        assert grid.shape == (2, 2)
        assert (grid[1, 0].get_xlabel(), grid[1, 0].get_ylabel()) == ("eruptions", "waiting")
        one = plot.pairs(fitted, faithful, ("waiting",))
        assert one.shape == (1, 1)
        for axes, some in ((grid, ""), (one, "; 1 of 2 columns")):
            (legend,) = axes[0, 0].figure.legends
            assert legend.get_title().get_text() == f"EEE, K = 3: clusters and their shares{some}"
            assert [text.get_text() for text in legend.get_texts()] == ["1 (48 %)", "2 (36 %)", "3 (17 %)"]

    def test_long_names_stay_beside_their_row_of_pairs(self, fitted, faithful):
        names = ("nonflavanoid_phenols_and_some_more_of_them", "od280_od315_of_diluted_wines")
        grid = plot.pairs(dataclasses.replace(fitted, columns=names, input_columns=names), faithful.to_numpy())
        figure = grid[0, 0].figure
        figure.draw_without_rendering()
        boxes = [grid[i, 0].yaxis.label.get_window_extent() for i in range(2)]
        assert boxes[1].y1 < boxes[0].y0
        assert [grid[i, 0].get_ylabel() for i in range(2)] == [
            "nonflavanoid_\nphenols_and_…",
            "od280_od315_of_\ndiluted_wines",
        ]

    def test_tree_joins_what_is_merged(self, fitted, faithful):
        tree = merge(fitted, faithful)
        ax = plot.merging_tree(tree)
        assert tree.partitions[2] == ((0, 2), (1,))
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "3", "2"]
        assert [text.get_text() for text in ax.texts] == [f"{tree.entropy[1]:.3g}", "0"]
