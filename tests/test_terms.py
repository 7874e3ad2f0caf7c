"""What else may be asked of a mixture: noise, known labels, equal weights, fixed parameters."""

from __future__ import annotations

import re
import types

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import jaxem
from jaxem import noise, resampling


SIZES = 120, 120, 30


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    blobs = [
        rng.normal(centre, spread, (size, 2)) for centre, spread, size in zip([(0, 0), (6, 2)], [1.0, 0.6], SIZES, strict=False)
    ]
    return np.concatenate([*blobs, rng.uniform(-12, 18, (SIZES[2], 2))])


@pytest.fixture(scope="module")
def noisy(rows):
    return jaxem.select(rows, ["EEE", "VVV"], range(1, 5), noise=True)


def near(got, wanted, rtol, atol):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=rtol, atol=atol)


def log_components(fit, x):
    """log of weight times density by SciPy, shape (n, k)."""
    p = fit.params
    parts = [stats.multivariate_normal(m, c).logpdf(x) for m, c in zip(p.means, p.covariances, strict=True)]
    return np.stack(parts, axis=1) + np.log(p.weights)


class TestNoise:
    def test_outliers_invent_no_clusters(self, rows, noisy):
        assert noisy.best.num_components == 2
        assert jaxem.select(rows, ["EEE", "VVV"], range(1, 5)).best.num_components > 2
        near(noisy.best.noise_weight, SIZES[2] / sum(SIZES), 0, 0.05)
        assert any(sentence.startswith("Noise has a share of") for sentence in noisy.trust_report)

    def test_density_is_that_of_the_definition(self, rows, noisy):
        fit = noisy["VVV", 2]
        flat = np.log(1 - fit.params.weights.sum()) - fit.noise.log_volume
        joint = np.column_stack([log_components(fit, rows), np.full(len(rows), flat)])
        near(fit.log_prob(rows), logsumexp(joint, axis=1), 1e-9, 1e-9)
        near(fit.log_prob(rows).sum(), fit.log_likelihood, 1e-10, 1e-8)
        near(fit.predict_proba(rows), np.exp(joint - logsumexp(joint, axis=1)[:, None]), 1e-8, 1e-8)
        assert set(fit.predict(rows)) == {-1, 0, 1}
        near((fit.predict(rows) == -1).sum(), len(rows) - fit.sizes.sum(), 0, 0)

    def test_weight_of_the_noise_is_stationary(self, rows):
        fit = jaxem.fit(rows, "VVV", 2, noise=True, tol=1e-8)
        near(fit.predict_proba(rows).mean(0), [*fit.params.weights, fit.noise_weight], 1e-5, 1e-5)

    def test_samples(self, noisy):
        fit = noisy["VVV", 2]
        drawn = fit.sample(20_000, seed=1)
        near(
            drawn.mean(0),
            fit.params.weights @ fit.params.means + fit.noise_weight * (fit.noise.origin + fit.noise.edges.sum(0) / 2),
            0,
            0.1,
        )
        near((fit.predict(drawn) == -1).mean(), fit.noise_weight, 0, 0.02)

    def test_survives_saving(self, noisy, rows, tmp_path):
        fit = noisy.best
        fit.save(tmp_path / "model.npz")
        for again in (jaxem.load(tmp_path / "model.npz"), jaxem.Fit.from_json(fit.to_json())):
            assert again.terms == fit.terms
            assert (again.predict_proba(rows) == fit.predict_proba(rows)).all()

    @pytest.mark.slow
    def test_errors_are_those_of_a_numerical_hessian(self, rows):
        x = rows[:, 0]
        fit = jaxem.fit(x, "E", 2, noise=True, tol=1e-9)
        found = fit.standard_errors(x).params

        def log_likelihood(point):
            (a, b, m, n), variance = point[:4], point[4]
            sd = np.sqrt(variance)
            flat = (1 - a - b) * np.exp(-fit.noise.log_volume)
            return np.log(a * stats.norm.pdf(x, m, sd) + b * stats.norm.pdf(x, n, sd) + flat).sum()

        at = np.array([*fit.params.weights, *fit.params.means[:, 0], fit.params.covariances[0, 0, 0]])
        errors = np.sqrt(np.diag(np.linalg.inv(-hessian(log_likelihood, at, 1e-3))))
        near([*found.weights, *found.means[:, 0], found.covariances[0, 0, 0]], errors, 1e-4, 0)

    @pytest.mark.slow
    def test_resampling_knows_of_it(self, rows):
        noisy = jaxem.select(rows, "EEE", [1, 2], noise=True)
        few = noisy.best.standard_errors(rows, "bootstrap", num_replicates=20)
        simulated = noisy.best.standard_errors(rows, "parametric-bootstrap", num_replicates=20)
        assert few.num_failed == simulated.num_failed == 0
        near(np.log(few.params.means / simulated.params.means), np.zeros((2, 2)), 0, np.log(2.5))
        assert noisy.cross_validate(rows, 3, num_restarts=1).best[1] == 2
        assert noisy.stability(rows, 3, num_restarts=1).share_of_num_components == 1
        assert (noisy.merge(rows).predict(rows, 1) == np.where(noisy.best.predict(rows) < 0, -1, 0)).all()

    def test_region_is_the_smaller_box(self):
        along = np.linspace(-1, 1, 50)
        slanted = np.stack([along + 0.01 * along**2, along - 0.01 * along**2], axis=1)
        box = noise.region(slanted)
        inside = np.linalg.solve(box.edges.T, (slanted - box.origin).T)
        assert inside.min() > -1e-9
        assert inside.max() < 1 + 1e-9
        assert box.log_volume < np.log(np.ptp(slanted, axis=0)).sum() - 2

    def test_dependent_columns_have_a_region_with_a_volume(self, rows):
        """Along the principal axes the box would be flat, and noise infinitely dense."""
        box = noise.region(rows[:, :1] * [1.0, 2.0])
        near(box.log_volume, 2 * np.log(np.ptp(rows[:, 0])) + np.log(2), 1e-12, 0)
        wide = np.random.default_rng(1).normal(size=(5, 9))
        near(noise.region(wide).log_volume, np.log(np.ptp(wide, axis=0)).sum(), 1e-12, 0)

    def test_a_component_that_may_be_noise_is_named(self, rows):
        told = r"^The component with a share of .* lies around all others .*noise=True \(--noise\) takes them for noise\.$"
        wide = jaxem.fit(rows, "VVV", 3)
        assert [bool(re.match(told, sentence)) for sentence in wide.warnings] == [True]
        assert not jaxem.fit(rows, "VVV", 2, noise=True).warnings
        assert not jaxem.fit(rows[: -SIZES[2]], "VVV", 2).warnings

    def test_rows_far_out_are_named_where_runs_collapse(self, rows):
        far = np.concatenate([rows[: -SIZES[2]], [[0.0, -1e6], [3e6, 3e6]]])
        told = r"^Row 241 lies more than 100 interquartile ranges from the median of column 'x2' \(2 such rows in all\): .*noise=True"
        search = {"num_restarts": 3, "moves": False}
        assert any(re.match(told, sentence) for sentence in jaxem.select(far, "VVV", [1, 2], **search).warnings)
        plain = jaxem.select(far[:-2], "VVV", [1, 2], **search)
        assert not any("interquartile" in sentence for sentence in plain.warnings)

    def test_lonely_rows_are_guessed(self, rows):
        lonely = noise.guess(rows.T / rows.std(0)[:, None], np.ones(len(rows)))
        assert lonely[-SIZES[2] :].mean() > 0.6
        assert lonely[: -SIZES[2]].mean() < 0.05

    def test_rows_that_are_equally_lonely_are_guessed(self, rng):
        """A number that stands for "none", in more than a tenth of the rows; and rows that are all alike."""
        one = np.r_[rng.normal(size=80), np.full(10, 999.0)]
        lonely = noise.guess(one[None], np.ones(90))
        assert (lonely[80:] > 0.99).all()
        assert lonely[:80].max() < 0.01
        assert not noise.guess(np.repeat([0.0, 1.0, 2.0, 3.0], 12)[None], np.ones(48)).any()
        assert not noise.guess(np.repeat([0.0, 1.0], 8)[None], np.ones(16)).any()


def hessian(function, at, step):
    """Central differences, Richardson-extrapolated."""

    def once(h):
        size = h * np.maximum(np.abs(at), 0.1)
        basis = np.diag(size)
        out = np.empty((len(at), len(at)))
        for i, j in np.ndindex(out.shape):
            corners = [function(at + s * basis[i] + t * basis[j]) * s * t for s in (1, -1) for t in (1, -1)]
            out[i, j] = sum(corners) / (4 * size[i] * size[j])
        return out

    return (4 * once(step / 2) - once(step)) / 3


@pytest.fixture(scope="module")
def half_known():
    """Two clusters that overlap, rows and labels."""
    rng = np.random.default_rng(3)
    x, label = np.concatenate([rng.normal(0, 1, 150), rng.normal(2.2, 0.7, 100)]), np.full(250, -1)
    label[:25], label[150:170] = 1, 0
    return x, label


class TestLabels:
    def test_numbers_stay_and_the_likelihood_is_that_of_rows_and_labels(self, rows):
        label = np.full(len(rows), -1)
        label[:10], label[SIZES[0] : SIZES[0] + 10] = 1, 0
        fit = jaxem.fit(rows, "VVV", 3, labels=label)
        near(fit.params.means[:2], [[6, 2], [0, 0]], 0, 0.4)
        joint = log_components(fit, rows)
        own = np.where(label >= 0, joint[np.arange(len(rows)), label], logsumexp(joint, axis=1))
        near(fit.log_likelihood, own.sum(), 1e-9, 1e-8)

    def test_all_known_is_one_m_step(self, rows):
        label = np.repeat([2, 0, 1], SIZES)
        fit = jaxem.fit(rows, "VVV", 3, labels=label, num_restarts=2, moves=False)
        near(fit.params.weights, np.bincount(label) / len(rows), 1e-9, 1e-9)
        near(fit.params.means, [rows[label == k].mean(0) for k in range(3)], 1e-9, 1e-9)
        near(fit.params.covariances, [np.cov(rows[label == k].T, bias=True) for k in range(3)], 1e-7, 1e-9)

        assert (fit.closed, fit.trust, fit.num_restarts) == (True, "high", 1)
        assert "High: every row has a label, so that nothing is left to search" in " ".join(str(fit).split())

    def test_a_row_of_weight_0_need_not_be_known(self, rows):
        label, weight, quick = np.repeat([2, 0, 1], SIZES), np.ones(len(rows)), {"num_restarts": 2, "moves": False}
        label[3] = -1
        assert not jaxem.fit(rows, "VVV", 3, labels=label, **quick).closed
        weight[3] = 0
        assert jaxem.fit(rows, "VVV", 3, labels=label, weights=weight, **quick).closed

    def test_numbers_of_components_that_labels_contradict_are_left_out(self, rows):
        label, quick = np.repeat([2, 0, 1], SIZES), {"num_restarts": 2, "moves": False}
        known = jaxem.select(rows, "VVV", labels=label, **quick)
        status = known.table.set_index("num_components")["status"]
        assert status[3] == "converged"
        assert (status[[1, 2]] == "fewer components than labels").all()
        assert (status[range(4, 10)] == "every row has a label, and some component none").all()
        assert known.warnings[0] == "K = 1, 2 were left out: fewer components than labels."
        assert known.doubts["least_sure"] is None
        assert not any("relative entropy" in sentence for sentence in known.trust_report)  # labels leave no doubt about a row
        some = jaxem.select(rows, "VVV", range(1, 4), labels=np.where(label < 2, label, -1), **quick)
        assert list(some.fits) == [("VVV", 2), ("VVV", 3)]
        with pytest.raises(ValueError, match="num_components must be at least 3, got 2"):
            jaxem.select(rows, "VVV", [1, 2], labels=label)

    def test_rare_labels_are_seen_among_many_rows(self):
        """A search on a subsample would have missed them."""
        x = np.random.default_rng(0).normal(size=(20_000, 1))
        fit = jaxem.fit(x, "V", 2, labels=np.arange(len(x)) < 3)
        assert fit.closed
        near(fit.params.means[:, 0], [x[3:].mean(), x[:3].mean()], 1e-9, 1e-9)

    def test_none_known_is_no_labels(self, rows):
        short = {"num_restarts": 3, "moves": False}
        plain, blank = jaxem.fit(rows, "VVV", 2, **short), jaxem.fit(rows, "VVV", 2, labels=[-1] * len(rows), **short)
        assert plain.log_likelihood == blank.log_likelihood
        assert blank.terms == {}

    def test_errors_are_those_of_a_numerical_hessian(self, half_known):
        x, label = half_known
        fit = jaxem.fit(x, "V", 2, labels=label, tol=1e-9)

        def log_likelihood(point):
            sd = np.sqrt(point[3:])
            joint = np.log([point[0], 1 - point[0]]) + stats.norm.logpdf(x[:, None], point[1:3], sd)
            return np.where(label >= 0, joint[np.arange(250), label], logsumexp(joint, axis=1)).sum()

        at = np.array([fit.params.weights[0], *fit.params.means[:, 0], *fit.params.covariances[:, 0, 0]])
        near(log_likelihood(at), fit.log_likelihood, 1e-12, 0)
        wanted = np.sqrt(np.diag(np.linalg.inv(-hessian(log_likelihood, at, 1e-3))))
        found = fit.standard_errors(x, labels=label).params
        near([found.weights[0], *found.means[:, 0], *found.covariances[:, 0, 0]], wanted, 1e-5, 0)

    def test_errors_of_every_kind_agree(self, half_known):
        """The model is true and rows are labelled at random: what kinds differ by is the sample's own moments, a tenth or so."""
        x, label = half_known
        fit = jaxem.fit(x, "V", 2, labels=label)
        wanted = fit.standard_errors(x, labels=label).params
        for kind in ("sandwich", "bootstrap", "weighted-bootstrap", "jackknife"):
            found = fit.standard_errors(x, kind, labels=label, num_replicates=200)
            assert found.num_failed == found.num_unclear == 0
            for name, array in wanted.asdict().items():
                near(np.log(getattr(found.params, name) / array), np.zeros_like(array), 0, np.log(1.35))

    @pytest.mark.parametrize("criterion", ["bic", "icl"])
    def test_all_rows_choose_what_the_selection_chose(self, half_known, criterion):
        """A resample of all rows and labels is the data."""
        x, label = half_known
        sel = jaxem.select(x, ["E", "V"], [2, 3], labels=label, criterion=criterion, num_restarts=5)
        found = sel.stability(x, 1, labels=label, fraction=1.0)
        assert found.winners == ((sel.best.family, sel.best.num_components),)
        assert found.agreement[0] == 1.0
        np.testing.assert_array_equal(found.labels[0], np.where(label >= 0, label, sel.best.predict(x)))

    def test_folds_are_single_fits(self, half_known):
        """The score of a fold is the held-out log-density of rows and labels, by a fit to the others and theirs."""
        x, label = half_known
        sel = jaxem.select(x, "V", 2, labels=label, num_restarts=5)
        fold = resampling.folds(np.ones(len(x)), 3, (0,))
        train, test = fold != 1, fold == 1
        alone = jaxem.fit(x[train], "V", 2, labels=label[train], start=sel.best.params)
        joint, known = alone.log_joint(x[test]), label[test]
        wanted = np.where(known >= 0, joint[np.arange(len(joint)), known], logsumexp(joint, axis=1)).mean()
        near(sel.cross_validate(x, 3, labels=label).scores["V", 2][1], wanted, 0, 1e-4)

    def test_merging_has_no_doubt_about_known_rows(self, half_known):
        x, label = half_known
        sel = jaxem.select(x, "V", 2, labels=label, num_restarts=5)
        unknown = sel.best.predict_proba(x)[label < 0]
        near(sel.merge(x, labels=label).entropy[1], stats.entropy(unknown, axis=1).sum(), 1e-9, 0)

    def test_labels_and_missing_cells(self, half_known):
        x, label = half_known
        holes = np.column_stack([x, np.random.default_rng(0).normal(size=len(x))])
        holes[::5, 1] = np.nan
        fit = jaxem.fit(holes, "VVV", 2, labels=label, num_restarts=5)
        one, two = (
            fit.standard_errors(holes, kind, labels=label, num_replicates=100).params for kind in ("observed", "bootstrap")
        )
        near(np.log(two.means / one.means), np.zeros((2, 2)), 0, np.log(1.4))

    def test_other_labels_or_none_are_refused(self, half_known):
        x, label = half_known
        sel = jaxem.select(x, "V", 2, labels=label, num_restarts=5)
        with pytest.raises(
            ValueError, match="made with labels, which a fit does not hold: give the same ones again, as labels="
        ):
            sel.best.standard_errors(x)
        for call in (sel.stability, sel.cross_validate, sel.merge):
            with pytest.raises(
                ValueError, match="made with labels, which a fit does not hold: give the same ones again, as labels="
            ):
                call(x)
            with pytest.raises(ValueError, match=r"or not with its weights or labels: .* and the same labels"):
                call(x, labels=np.roll(label, 3))
        with pytest.raises(ValueError, match=r"or not with its weights or labels: .* -inf"):
            sel.merge(x, labels=np.where(label == 1, 7, label))
        with pytest.raises(ValueError, match="the parametric bootstrap is not supported for fits with labels: "):
            sel.best.standard_errors(x, "parametric-bootstrap", labels=label)
        with pytest.raises(ValueError, match=r"give the same rows again, .*, without labels"):
            jaxem.fit(x, "V", 2, num_restarts=5).standard_errors(x, labels=label)

    def test_the_report_has_errors(self, half_known, tmp_path):
        x, label = half_known
        sel = jaxem.select(x, "V", 2, labels=label, num_restarts=5)
        sel.report(tmp_path / "page.html", x, labels=label)
        assert "95 % interval" in (tmp_path / "page.html").read_text()

    def test_known_rows_keep_the_order_over_moves(self, rows):
        label = np.full(len(rows), -1)
        label[[0, SIZES[0]]] = 1, 0
        sel = jaxem.select(rows, "VVI", range(2, 5), labels=label)
        for fit in sel.fits.values():
            assert fit.predict(rows[[0, SIZES[0]]]).tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("labels", "sentence"),
        [
            ([0] * 5, "one entry for each of the 270 rows"),
            (np.r_[2, [-1] * 269], "row 1 is said to come from component 2, so num_components must be at least 3, got 2"),
            (np.r_[-2, [-1] * 269], "label of row 1 is -2"),
            (np.r_[0.5, [-1] * 269], "label of row 1 is 0.5"),
            ([0] * 270, "none is left for component 1 of 2"),
            (["a"] * 270, r"labels must be 270 component numbers, .*, got 'a'; number names with pandas.factorize\(labels\)"),
        ],
    )
    def test_bad_labels(self, rows, labels, sentence):
        with pytest.raises(ValueError, match=sentence):
            jaxem.fit(rows, "VVV", 2, labels=labels)


class TestEqualWeights:
    def test_weights_are_equal(self, rows):
        free, fit = jaxem.fit(rows, "VVV", 3), jaxem.fit(rows, "VVV", 3, equal_weights=True)
        near(fit.params.weights, [1 / 3] * 3, 1e-12, 0)
        assert fit.num_params == free.num_params - 2
        assert fit.log_likelihood < free.log_likelihood

    def test_singular_bic_is_not_known(self, earthquakes):
        """What it charges a superfluous component is for weights that may vanish: with one rate each it would charge nothing."""
        found = jaxem.select(earthquakes, "poisson", (1, 2), equal_weights=True, criterion="sbic", num_restarts=2, moves=False)
        assert found.table["sbic"].isna().all()
        assert "'sbic' is not known for any fit: it needs weights that may differ" in found.warnings[-1]


class TestFixed:
    MEANS = np.array([[6.0, 2.0], [0.0, 0.0]])

    def test_means(self, rows):
        fit = jaxem.fit(rows, "VVV", 2, fixed=types.MappingProxyType({"means": self.MEANS}), tol=1e-9)
        resp = fit.predict_proba(rows)
        away = rows[:, None] - self.MEANS
        wanted = np.einsum("nk,nki,nkj->kij", resp, away, away) / resp.sum(0)[:, None, None]
        near(fit.params.means, self.MEANS, 1e-12, 1e-12)
        near(fit.params.covariances, wanted, 1e-4, 1e-4)
        assert fit.num_params == 1 + 6

    def test_covariances(self, rows):
        given = np.array([np.eye(2), 4 * np.eye(2)])
        fit = jaxem.fit(rows, "VVV", 2, fixed={"covariances": given}, tol=1e-9)
        resp = fit.predict_proba(rows)
        near(fit.params.covariances, given, 1e-12, 1e-12)
        near(fit.params.means, resp.T @ rows / resp.sum(0)[:, None], 1e-4, 1e-4)
        assert fit.num_params == 1 + 4

    @pytest.mark.parametrize("also", [{}, {"means": [[0.0, 0.0], [30.0, 30.0]]}], ids=["alone", "means"])
    def test_covariances_that_are_given_need_no_rows(self, rng, also):
        """Two rows far out are a component of their own; nor need columns be independent."""
        far = np.arange(102) >= 100
        x = rng.normal(size=(102, 2)) + 30 * far[:, None]
        means = np.asarray(also.get("means", [x[~far].mean(0), x[far].mean(0)]))
        squares = ((x - means[far.astype(int)]) ** 2).sum()
        wanted = 100 * np.log(100 / 102) + 2 * np.log(2 / 102) - 102 * np.log(2 * np.pi) - squares / 2
        for start in (None, np.eye(2)[far.astype(int)]):
            fit = jaxem.fit(x, "VVV", 2, fixed={"covariances": [np.eye(2)] * 2, **also}, start=start, tol=1e-9)
            assert fit.log_likelihood == pytest.approx(wanted, abs=1e-6)
            assert not fit.spurious
        x[:, 1] = x[:, 0]
        fit = jaxem.fit(x, "VVV", 2, fixed={"covariances": [np.eye(2)] * 2, **also}, start=start)
        assert not fit.spurious
        assert not fit.warnings

    @pytest.mark.parametrize(
        ("asked", "sentence"),
        [
            ({"fixed": {"mean": 1}}, 'a dict with "means", "covariances" or both'),
            ({"fixed": {"means": [[1, 2]]}}, r"means must have shape \(2, 2\), got \(1, 2\)"),
            ({"fixed": {"means": [1, 2]}}, r"means must be finite numbers of shape \(k, d\)"),
            ({"fixed": {"covariances": -np.array([np.eye(2)] * 2)}}, "symmetric positive definite"),
            ({"fixed": {"covariances": [np.eye(2)] * 2}, "family": "EEE"}, "use family='VVV'"),
            (
                {"fixed": {"means": [[1, 1], [2, 2]]}, "family": "poisson", "data": np.ones((9, 2))},
                "of Gaussian families, and this one is 'poisson'",
            ),
        ],
    )
    def test_bad_values(self, rows, asked, sentence):
        with pytest.raises(ValueError, match=sentence):
            jaxem.fit(**{"data": rows, "family": "VVV", "num_components": 2, **asked})


def test_one_component_in_noise_has_several_optima(rng):
    """Two clusters of which it can be one: the narrow one says more of its rows than the wide one."""
    wide, narrow = rng.normal(0, 0.5, size=(50, 2)), rng.normal([6, 0], 0.15, size=(50, 2))
    x = np.concatenate([wide, narrow, rng.uniform(-10, 10, size=(40, 2))])
    found = jaxem.fit(x, "VVV", 1, noise=True)
    given = jaxem.fit(x, "VVV", 1, noise=True, start=((np.arange(140) >= 50) & (np.arange(140) < 100))[:, None].astype(float))
    assert found.log_likelihood > given.log_likelihood - 0.01
    assert not found.closed
    assert found.num_restarts == 20
    assert 0 < found.relative_entropy < 1
    assert found.relative_entropy == pytest.approx(1 - found.entropy / (140 * np.log(2)))


def test_terms_are_true_or_false(rows):
    for name in ("noise", "equal_weights"):
        with pytest.raises(TypeError, match=f"{name} must be True or False, got 1"):
            jaxem.fit(rows, "VVV", 2, **{name: 1})


def test_counts_have_no_noise():
    with pytest.raises(ValueError, match="family of counts"):
        jaxem.fit([1, 2, 3, 9, 8], "poisson", 2, noise=True)
