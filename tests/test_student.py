"""t components: where they are Gaussians, what outliers do to them, missing cells, errors, and how they are asked for."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

import jaxem
from jaxem.families import resolve, student


@pytest.fixture(scope="module")
def heavy():
    """Two clusters of t distributions with 3 and 8 degrees of freedom."""
    rng = np.random.default_rng(5)
    return np.concatenate([rng.standard_t(3, (150, 2)), rng.standard_t(8, (100, 2)) * [1.5, 0.5] + [9, 3]])


@pytest.fixture(scope="module")
def fitted(heavy):
    return jaxem.fit(heavy, "tVVV", 2, num_restarts=4)


@pytest.mark.parametrize("dof", [1.0, 1.5, 99.0, 101.0, 1e4, 1e6])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_density_from_cauchys_to_gaussians(dof, d, rng):
    """On both sides of where the series for the gamma function takes over."""
    x = rng.normal(scale=4.0, size=(50, d))
    family = student("V" if d == 1 else "VVV", univariate=d == 1)
    published = {"means": np.ones((1, d)), "scatters": 2 * np.eye(d)[None], "dof": np.array([dof])}
    with jax.enable_x64(True):
        family = family.bind(x.T, np.ones(50), np.eye(d), np.float64)
        got = family.log_prob(family.adopt(published, np.zeros(d), np.eye(d)), x.T)[0]
    wanted = stats.multivariate_t(np.ones(d), 2 * np.eye(d), df=dof).logpdf(x)
    np.testing.assert_allclose(got, wanted, atol=1e-8 if dof > 1e3 else 1e-10)  # SciPy's digits go where Γ is large


def test_many_degrees_of_freedom_are_a_gaussian(heavy):
    start = np.repeat(np.eye(2), [150, 100], axis=0)
    gaussian = jaxem.fit(heavy, "VVV", 2, start=start)
    student = jaxem.fit(heavy, "tVVV:1e6", 2, start=start)
    assert student.log_likelihood == pytest.approx(gaussian.log_likelihood, abs=0.02)
    np.testing.assert_allclose(student.params.means, gaussian.params.means, atol=1e-3)
    assert (student.num_params, student.family) == (gaussian.num_params, "tVVV:1e+06")
    assert jaxem.fit(heavy, student.family, 2, start=student.params).log_likelihood >= student.log_likelihood - 1e-6


def test_outliers_do_not_bend_a_cluster(heavy, fitted):
    """A tenth of the rows a hundred units away: centres and scales stay where they are, and those of Gaussians do not."""
    away = np.concatenate([heavy, np.linspace(-100, 100, 50).reshape(25, 2)])
    again = jaxem.fit(away, "tVVV", 2, start=fitted.params)
    np.testing.assert_allclose(again.params.means, fitted.params.means, atol=0.2)
    assert again.params.dof.min() < 2
    gaussian = jaxem.fit(away, "VVV", 2, num_restarts=4)
    assert abs(np.sort(gaussian.params.means[:, 0]) - np.sort(fitted.params.means[:, 0])).max() > 1


def test_steps_do_not_creep_where_clusters_are_normal():
    """EM with the factors of the rows for missing takes 4,231 steps with SQUAREM here, and is still 0.002 nats short."""
    faithful = jaxem.datasets.load("faithful")
    start = jaxem.fit(faithful, "VVV", 2, num_restarts=4).predict_proba(faithful)
    fit = jaxem.fit(faithful, "tVVV", 2, start=start)
    assert fit.num_steps < 40
    assert fit.log_likelihood == pytest.approx(-1129.93868, abs=1e-3)
    assert fit.params.dof[0] == 1e6
    assert "   ∞ " in str(fit)


def test_every_structure_every_kind_of_tail(heavy):
    """One program for all structures; what is shared makes the likelihood no higher."""
    codes = ["tEII", "tVEV", "tEVE", "tVVV", "tVVV:equal", "tVVV:5"]
    selection = jaxem.select(heavy, codes, [1, 2], num_restarts=4, moves=False)
    assert (selection.table["status"] == "converged").all()
    known = {(row.family, row.num_components): row for row in selection.table.itertuples()}
    full = known["tVVV", 2].log_likelihood + 1e-2
    assert all(known[code, 2].log_likelihood <= full for code in codes)
    assert [known[code, 2].num_params for code in ("tVVV", "tVVV:equal", "tVVV:5")] == [13, 12, 11]
    assert np.ptp(selection["tVVV:equal", 2].params.dof) == 0
    assert (selection["tVVV:5", 2].params.dof == 5).all()
    scatters = selection["tEII", 2].params.scatters
    np.testing.assert_allclose(scatters, scatters[0, 0, 0] * np.eye(2)[None].repeat(2, 0), rtol=1e-9, atol=1e-12)


def test_draws_of_missing_cells_have_the_conditional_distribution():
    """A t distribution again, the wider the farther out what is seen lies (Kotz & Nadarajah 2004, sec. 1.11)."""
    x = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 200)
    fit = jaxem.fit(x, "tVVV:6", 1)
    row = np.array([[4.0, np.nan]])
    drawn = fit.impute(row, num_draws=4000, seed=2)[:, 0, 1]
    (mean,), (scatter,) = fit.params.means, fit.params.scatters
    slope = scatter[0, 1] / scatter[0, 0]
    square = (4 - mean[0]) ** 2 / scatter[0, 0]
    rest = (scatter[1, 1] - slope * scatter[0, 1]) * (6 + square) / 7
    centre = mean[1] + slope * (4 - mean[0])
    assert fit.impute(row)[0, 1] == pytest.approx(centre)
    assert stats.kstest((drawn - centre) / np.sqrt(rest), stats.t(7).cdf).pvalue > 0.01


def test_missing_cells_stop_where_the_likelihood_is_flat(heavy, fitted):
    """By SciPy's marginal densities: no small step from the estimates is better."""
    x = heavy.copy()
    x[::4, 0] = np.nan
    fit = jaxem.fit(x, "tVVV", 2, start=fitted.params, tol=1e-8)

    def log_likelihood(params):
        total = np.zeros(len(x))
        gone = np.isnan(x[:, 0])
        for w, m, s, nu in zip(params["weights"], params["means"], params["scatters"], params["dof"], strict=True):
            total[~gone] += w * stats.multivariate_t(m, s, df=nu).pdf(x[~gone])
            total[gone] += w * stats.t(nu, m[1], np.sqrt(s[1, 1])).pdf(x[gone, 1])
        return np.log(total).sum()

    best = fit.params.asdict()
    assert log_likelihood(best) == pytest.approx(fit.log_likelihood, abs=1e-6)
    for name, step in {"means": 1e-3, "scatters": 1e-3 * np.eye(2), "dof": 0.02}.items():
        for sign in (-1, 1):
            for j in range(2):
                moved = {key: array.copy() for key, array in best.items()}
                moved[name][j] += sign * step
                assert log_likelihood(moved) < fit.log_likelihood + 1e-7


def test_standard_errors_are_those_of_the_hessian():
    x = np.random.default_rng(2).standard_t(4, 400) * 2 + 5
    fit = jaxem.fit(x, "tV", 1, tol=1e-8)
    found = fit.standard_errors(x).params
    at = np.array([fit.params.means[0, 0], fit.params.scatters[0, 0, 0], fit.params.dof[0]])

    def minus(values):
        return -stats.t(values[2], values[0], np.sqrt(values[1])).logpdf(x).sum()

    steps = 1e-3 * at
    hessian = np.empty((3, 3))
    for i, j in np.ndindex(3, 3):
        one, other = steps[i] * np.eye(3)[i], steps[j] * np.eye(3)[j]
        corners = minus(at + one + other) - minus(at + one - other) - minus(at - one + other) + minus(at - one - other)
        hessian[i, j] = corners / (4 * steps[i] * steps[j])
    wanted = np.sqrt(np.diag(np.linalg.inv(hessian)))
    np.testing.assert_allclose([found.means[0, 0], found.scatters[0, 0, 0], found.dof[0]], wanted, rtol=1e-4)


def test_standard_errors_where_a_cluster_is_normal():
    """Its degrees of freedom have none, and all else has those of the Gaussian that it is."""
    x = np.random.default_rng(7).uniform(-1, 1, (200, 1))  # tails shorter than a normal distribution's
    normal, fit = jaxem.fit(x, "V", 1), jaxem.fit(x, "tV", 1)
    assert fit.params.dof == 1e6
    errors = fit.standard_errors(x)
    assert errors.params.dof == 0
    assert "at the end of the range" in errors.warnings[0]
    np.testing.assert_allclose(errors.params.means, normal.standard_errors(x).params.means, rtol=1e-4)


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_saved_fits_are_the_same(fitted, heavy, tmp_path, suffix):
    fitted.save(tmp_path / f"model.{suffix}")
    again = jaxem.load(tmp_path / f"model.{suffix}")
    np.testing.assert_array_equal(again.log_prob(heavy), fitted.log_prob(heavy))
    assert again.family == "tVVV"


def test_numpyro_and_scipy_say_the_same(fitted, heavy):
    with jax.enable_x64(True):
        np.testing.assert_allclose(fitted.to_numpyro().log_prob(heavy), fitted.log_prob(heavy), rtol=1e-9)
    one = jaxem.fit(heavy, "tVVV:4", 1)
    np.testing.assert_allclose(one.to_scipy().logpdf(heavy), one.log_prob(heavy), rtol=1e-9)


def test_regions_hold_their_share(fitted, heavy):
    """The ellipses that are drawn hold half and 95 % of a t distribution, and not of a Gaussian."""
    ax = jaxem.plot.clusters(fitted, heavy)
    (scatter, dof), drawn = (fitted.params.scatters[0], fitted.params.dof[0]), ax.patches[:2]
    for ellipse, share in zip(drawn, (0.5, 0.95), strict=True):
        square = (ellipse.height / 2) ** 2 / np.linalg.eigvalsh(scatter)[0]
        assert stats.f(2, dof).cdf(square / 2) == pytest.approx(share, abs=1e-6)
    ax.figure.clear()


def test_names():
    assert [family.name for family in resolve("student", 1)] == ["tE", "tV"]
    assert len(resolve("student:equal", 2)) == 14
    assert resolve("TVVV", 1)[0].name == "tV"
    assert resolve("tvvv:4.5", 3)[0].name == "tVVV:4.5"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tVVV:0.5", r'^dof must be "equal" or a number between 1 and 1e\+06, got \'0.5\'$'),
        ("tVVV:same", r'^dof must be "equal" or a number'),
        ("tVVX", r"did you mean 'tVV"),
        ("poisson:4", "unknown family 'poisson:4'"),
    ],
)
def test_names_that_are_none(name, said):
    with pytest.raises(ValueError, match=said):
        resolve(name, 2)


def test_what_it_has_not_is_refused(fitted, heavy):
    with pytest.raises(ValueError, match="prior: the family 'tVVV' knows none"):
        jaxem.fit(heavy, "tVVV", 2, prior="fraley-raftery")
    with pytest.raises(ValueError, match=r"fixed holds means of Gaussian families, and this one is 'tVVV'"):
        jaxem.fit(heavy, "tVVV", 2, fixed={"means": np.zeros((2, 2))})
    with pytest.raises(ValueError, match=r"dof must be 1 or more in each component, got 0\.5"):
        jaxem.fit(heavy, "tVVV", 2, start=jaxem.Params(**fitted.params.asdict() | {"dof": [3.0, 0.5]}))
    with pytest.raises(ValueError, match="scatters must be symmetric positive definite"):
        jaxem.fit(heavy, "tVVV", 2, start=jaxem.Params(**fitted.params.asdict() | {"scatters": -fitted.params.scatters}))
