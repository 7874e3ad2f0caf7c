"""What a family must do where cells are missing: density and statistics, and all that must make no difference."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, K
from helpers import agree, jit, pairs
from scipy.special import logsumexp, softmax

from jaxem import em
from jaxem.accelerate import Squarem
from jaxem.models.mixture import Mixture
from jaxem.padding import coarse_bucket, pad_data, row_bucket
from jaxem.patterns import Patterns, everywhere
from jaxem.reduce import chunked


OF = "observed"  # what a family that takes complete rows only does not have
CHUNK = 40
RECORD = 60

# What no structure changes is shown where programs are small.
SMALL = [
    (case, form)
    for case in CASES
    if case.d < 3 and hasattr(case.family, OF)
    for form in (case.family, case.family.with_residuals())
]
small = pytest.mark.parametrize(("one", "form"), SMALL, ids=lambda part: getattr(part, "name", ""))

e_step = jit(lambda model, params, data: chunked(model.e_step, CHUNK)(params, data))
one_e_step = jit(lambda model, params, data: model.e_step(params, data))
m_step = jit(lambda model, params, stats: model.m_step(params, stats))
log_classes = jit(lambda model, params, data: everywhere(lambda rows: model.log_classes(params, rows), data))


def holes(case):
    """Cells that are missing, shape (n, d): every pattern there is, the empty row too, and in some rows more often than in others."""
    rng = np.random.default_rng(case.d)
    gone = rng.random(case.x.shape) < np.linspace(0.1, 0.5, len(case.x))[:, None]
    gone[:3] = True
    return gone


def patterned(x, weight, gone):
    """Rows (d, n) in the device's layout; what fills the holes is nonsense, for EM must not see it."""
    return pad_data(np.where(gone.T, np.nan, x), weight, np.float64, filled=np.where(gone.T, 1e3, x))


def data_of(case):
    return patterned(case.data.x, case.weight, holes(case))


def through(case, published, seen):
    """The same params of some columns only: of families whose marginals are of the family again, with arrays that go by column."""
    if case.marginal is not None:
        return case.marginal(published, seen)
    return {name: array[np.ix_(range(K), *[seen] * (array.ndim - 1))] for name, array in published.items() if name != "weights"}


def marginals(case, published):
    """log p(component, cells that are there) of every row by SciPy, shape (k, n), in the data's units."""
    out = np.zeros((K, len(case.x)))
    for row, (cells, gone) in enumerate(zip(case.x, holes(case), strict=True)):
        if not gone.all():
            out[:, row] = case.log_density(through(case, published, ~gone), cells[None, ~gone])[:, 0]
    return out + np.log(published["weights"])[:, None]


def offset(case):
    """What the density of each row in the data's units lacks of the one in internal units, shape (n,)."""
    return ~holes(case) @ np.log(np.diag(case.scale))


def conditionals(case, published, resp):
    """Complete rows, and weights (k, rows), with the moments that are expected given the cells that are there.

    For every row and component two points on either side of the conditional mean for each missing column, at the distance at which
    they have the conditional covariance.
    """
    if case.of_what_is_seen:
        return np.where(holes(case), np.nan, case.x), resp
    means, covariances = case.moments(published)
    rows, weights = [], []
    for row, (cells, gone) in enumerate(zip(case.x, holes(case), strict=True)):
        for j in range(K):
            seen = ~gone
            slope = np.linalg.solve(covariances[j][np.ix_(seen, seen)], covariances[j][np.ix_(seen, gone)]).T
            centre, points = cells.copy(), np.zeros((max(1, gone.sum()), case.d))
            centre[gone] = means[j, gone] + slope @ (cells[seen] - means[j, seen])
            if gone.any() and case.unbound.standardise:
                rest = covariances[j][np.ix_(gone, gone)] - slope @ covariances[j][np.ix_(seen, gone)]
                points[:, gone] = np.sqrt(gone.sum()) * np.linalg.cholesky(rest).T
            rows += [*(centre + points), *(centre - points)]
            own = np.zeros((K, 2 * len(points)))
            own[j] = resp[j, row] / (2 * len(points))
            weights.append(own)
    return np.array(rows), np.concatenate(weights, axis=1)


def test_density_is_scipys_marginal(case, family, rng):
    published, params = case.params(rng)
    got = np.asarray(log_classes(Mixture(family), params, data_of(case)))[:, : len(case.x)]
    agree(got - offset(case), marginals(case, published), atol=1e-9)


@pytest.mark.only_labels
def test_em_step_is_the_textbooks(case, family, rng):
    """Against conditional means and covariances worked out row by row, and the M-step on the complete rows they stand for."""
    published, params = case.params(rng)
    model = Mixture(family)
    expected, log_likelihood = e_step(model, params, data_of(case))
    joint = marginals(case, published)
    agree(log_likelihood - case.weight @ offset(case), case.weight @ logsumexp(joint, axis=0))
    resp = softmax(joint, axis=0) * case.weight
    wanted = {"weights": resp.sum(1) / resp.sum(), **case.estimate(*conditionals(case, published, resp))}
    tolerance = max(1e-8, case.accuracy)
    agree(case.publish(m_step(model, params, expected)), wanted, rtol=tolerance, atol=tolerance)


@small
def test_nothing_missing_is_nothing_new(one, form, rng):
    """Rows whose pattern is that all is there, through the kernels for missing cells."""
    _, params = one.params(rng)
    model, none = Mixture(form), jnp.full(2, one.d)
    tile = one.data.__class__(one.data.x, one.weight, None, none)
    agree(one_e_step(model, params, tile), one_e_step(model, params, one.data), rtol=1e-9, atol=1e-9)


def test_order_of_rows_repeated_rows_and_rows_of_no_weight(case, rng):
    _, params = case.params(rng)
    weight = rng.integers(0, 4, len(case.x)).astype(float)
    wanted = e_step(case.model, params, patterned(case.data.x, weight, holes(case)))
    rows = rng.permutation(np.repeat(np.arange(len(case.x)), weight.astype(int)))
    agree(
        e_step(case.model, params, patterned(case.data.x[:, rows], np.ones(len(rows)), holes(case)[rows])), wanted, 1e-9, 1e-9
    )


@jit
def gradients(model, params, data):
    """Of the log-likelihood and of the expected log joint, in free coordinates."""

    def log_likelihood(free):
        params = model.from_free(free)
        return model.e_step(params, data.whole)[1] + jnp.sum(jax.vmap(lambda tile: model.e_step(params, tile)[1])(data.tiles))

    expected, _ = chunked(model.e_step, CHUNK)(params, data)
    free = model.to_free(params)
    return jax.grad(log_likelihood)(free), jax.grad(lambda free: model.complete(model.from_free(free), expected, params))(free)


@small
def test_gradient_is_that_of_the_expected_log_joint(one, form, rng):
    """Fisher's identity holds for what is seen: the finisher needs no more."""
    _, params = one.params(rng)
    of_likelihood, of_expected = gradients(Mixture(form), params, data_of(one))
    size = max(np.abs(leaf).max() for leaf in jax.tree.leaves(of_expected))
    agree(of_likelihood, of_expected, rtol=1e-9, atol=1e-9 * size)


@jit
def run(model, params, data):
    """A run with its objective after every step."""
    method = Squarem()
    state = method.from_params(model, params, data.filled)
    step = functools.partial(method.step, model, data=data, tol=jnp.asarray(1e-6), e_step=chunked(model.e_step, CHUNK))
    return em.advance(lambda state: step(state), state, max_steps=RECORD, num_ticks=RECORD, record=RECORD)


def test_objective_never_falls(case, rng):
    state, trace = run(case.model, case.start(rng), data_of(case))
    trace = np.asarray(trace)[~np.isnan(trace)]
    assert len(trace) >= 5
    slack = 64 * np.finfo(float).eps * (abs(trace[-1]) + len(case.x))
    assert all(after >= before - slack for before, after in pairs(trace))
    joint = marginals(case, case.publish(state.params))
    agree(state.log_likelihood - case.weight @ offset(case), case.weight @ logsumexp(joint, axis=0), rtol=1e-9)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("num_rows", [1, 7, 300])
def test_every_row_has_its_place(num_rows, coarse, rng):
    gone = rng.random((4, num_rows)) < 0.4
    gone[:, -1] = False
    x, layout = rng.normal(size=(4, num_rows)), Patterns(gone, row_bucket)
    data = pad_data(np.where(gone, np.nan, x), np.arange(num_rows) + 1.0, np.float64, filled=x, coarse=coarse)
    weight = everywhere(lambda rows: rows.weight[None], data)[0, :num_rows]
    agree(np.asarray(weight), np.arange(num_rows) + 1.0)
    agree(np.asarray(everywhere(lambda rows: rows.x, data)[:, :num_rows]), np.where(gone, 0.0, x))
    assert data.tiles.weight.sum() + data.whole.weight.sum() == pytest.approx(weight.sum())
    assert layout.num_patterns == len(np.unique(gone, axis=1).T)


def test_cases_are_all_structures():
    assert {case.name.split("-")[0] for case in CASES} >= {"EII", "VEV", "VVV", "E", "poisson", "categorical", "tVVV"}


def test_batches_with_other_holes_share_programs(rng):
    """For rows to predict, what is compiled follows their number and that of the columns, and hardly the pattern of their holes."""

    def shapes(bucket, **how):
        layouts = [Patterns(rng.random((10, 500)) < 0.1, bucket, **how) for _ in range(25)]
        return {(layout.whole.shape, layout.tiles.shape, layout.missing.shape, layout.place.shape) for layout in layouts}

    assert len(shapes(coarse_bucket, coarse=True)) <= 4
    assert len(shapes(row_bucket)) > 4
